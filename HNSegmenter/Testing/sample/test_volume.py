"""The sample patient's CT: size, tissue values, organs, and the same voxels every time."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import SimpleITK as sitk

from HNSegmenterLib.errors import UnusableInput
from HNSegmenterLib.sample import ORGANS, sample_volume
from HNSegmenterLib.sample.score import dice, score
from HNSegmenterLib.sample.volume import TEMPLATE

# Of the voxels with seed 0: any change of the committed file or of the way from it is meant, or a fault.
DIGEST = "8663fce233242c314fcfb921a74989382037ec9bb8b09dca29a3f2ccc3ef9531"
VOLUME_ML = {  # 24 planning CTs with an oncologist's contours, least and most, and a quarter aside
    "Brainstem": (15, 45),
    "SpinalCord": (8, 40),
    "Parotid_L": (13, 60),
    "Parotid_R": (13, 60),
    "Eye_L": (5.5, 13),
    "Eye_R": (5.5, 13),
}


@pytest.fixture(scope="module")
def sample() -> tuple[np.ndarray, dict[str, np.ndarray], sitk.Image]:
    ct, organs = sample_volume()
    return sitk.GetArrayFromImage(ct), {n: sitk.GetArrayFromImage(m) > 0 for n, m in organs.items()}, ct


def test_planning_size(sample):
    hu, organs, ct = sample
    assert ct.GetSize() == (512, 512, 136)
    assert ct.GetSpacing() == (1.0, 1.0, 2.5)
    assert ct.GetPixelID() == sitk.sitkInt16
    assert tuple(organs) == ORGANS
    assert all(mask.shape == hu.shape for mask in organs.values())


def test_committed_file_is_small():
    assert TEMPLATE.stat().st_size < 4e6


def mode(values: np.ndarray) -> float:
    counts, edges = np.histogram(values, np.arange(values.min() - 0.5, values.max() + 1.5))
    return edges[np.convolve(counts, np.ones(15), "valid").argmax() + 7] + 0.5


def test_tissues_have_their_hounsfield_units(sample):
    hu, organs, _ = sample
    assert abs(np.median(hu[:, :60]) - -1000) < 30  # the air in front of the patient
    assert abs(mode(hu[(hu > -150) & (hu < -30)]) - -100) < 30  # fat
    below = hu[:40]  # neck and shoulders: no brain
    assert abs(mode(below[(below > 0) & (below < 120)]) - 50) < 30  # muscle
    top = hu[-40:-16]
    assert abs(mode(top[(top > 0) & (top < 120)]) - 35) < 30  # brain
    assert np.count_nonzero(hu > 700) * 0.0025 > 50  # ml of cortical bone
    assert abs(np.median(hu[organs["Eye_L"]]) - 12) < 30  # vitreous is nearly water


def test_noise_is_a_scanners(sample):
    hu, organs, _ = sample
    stem = organs["Brainstem"]
    between_slices = (hu[1:] - hu[:-1])[stem[1:] & stem[:-1]]
    assert 4 < np.std(between_slices) / np.sqrt(2) < 15


@pytest.mark.parametrize("name", ORGANS)
def test_organ_is_one_piece_of_a_plausible_size(sample, name):
    _, organs, _ = sample
    low, high = VOLUME_ML[name]
    assert low < organs[name].sum() * 0.0025 < high
    pieces = sitk.ConnectedComponent(sitk.GetImageFromArray(organs[name].astype(np.uint8)))
    assert sitk.GetArrayViewFromImage(pieces).max() == 1


def test_organs_do_not_overlap_and_lie_as_in_a_person(sample):
    _, organs, _ = sample
    assert np.sum(list(organs.values()), axis=0).max() == 1
    z, y, x = ({n: np.nonzero(m)[axis].mean() for n, m in organs.items()} for axis in range(3))
    assert x["Parotid_R"] < x["Eye_R"] < x["Brainstem"] < x["Eye_L"] < x["Parotid_L"]  # LPS: x runs to the left
    assert y["Eye_L"] < y["Parotid_L"] < y["Brainstem"] + 30
    assert z["SpinalCord"] < z["Parotid_L"] < z["Brainstem"] < z["Eye_L"] + 20
    assert 50 < x["Eye_L"] - x["Eye_R"] < 75  # mm between the pupils: adults have 54 to 74


def test_head_is_closed_above_and_shoulders_are_wide(sample):
    hu, _, _ = sample
    tissue = hu > -400
    assert not tissue[-1, :330].any()  # air above the vertex
    assert tissue[8, :330].any(0).sum() > 350  # mm across the shoulders
    assert 130 < tissue[-40, :330].any(0).sum() < 180  # mm across the head


def test_the_same_voxels_on_every_machine(sample):
    hu, organs, _ = sample
    again, _ = sample_volume()
    assert np.array_equal(sitk.GetArrayViewFromImage(again), hu)
    digest = hashlib.sha256(hu.astype("<i2").tobytes()).hexdigest()
    assert digest == DIGEST
    other, _ = sample_volume(seed=1)
    difference = sitk.GetArrayViewFromImage(other) - hu
    assert 2 < np.std(difference[organs["Brainstem"]]) < 40


def test_score_knows_full_half_and_nothing(sample):
    _, organs, ct = sample
    full, half, nothing = (organs["Parotid_L"].astype(np.uint8) for _ in range(3))
    first = np.flatnonzero(half.any((1, 2)))
    half[first[len(first) // 2] :] = 0
    nothing[:] = 0
    images = dict(zip(("Parotid_L", "Parotid_R", "Eye_L"), map(sitk.GetImageFromArray, (full, half, nothing))))
    for image in images.values():
        image.CopyInformation(ct)
    images["Larynx"] = images["Eye_L"]
    scores = score(images)
    assert scores == {"Parotid_L": 1.0, "Parotid_R": 0.0, "Eye_L": 0.0}  # a left parotid is no right one
    assert score({"Parotid_L": images["Parotid_R"]})["Parotid_L"] == pytest.approx(dice(half > 0, full > 0))
    assert 0.4 < dice(half > 0, full > 0) < 0.9


def test_score_of_a_file_and_of_another_grid(tmp_path, sample):
    _, organs, ct = sample
    path = tmp_path / "Eye_R.nii.gz"
    image = sitk.GetImageFromArray(organs["Eye_R"].astype(np.uint8))
    sitk.WriteImage(image, path)
    with pytest.raises(UnusableInput, match="Eye_R is not on the sample patient's grid"):
        score({"Eye_R": path})
    image.CopyInformation(ct)
    sitk.WriteImage(image, path)
    assert score({"Eye_R": path}) == {"Eye_R": 1.0}
