"""Where patches lie, what fills the void in them, and what they say about organs that are known to be absent."""

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from hn_training import config
from hn_training.data import cache, patients
from hn_training.data.augment import BlankBox, BlankHalfSpace
from hn_training.data.patches import ALL_UNKNOWN, Patches, loader
from hn_training.grid import AIR_HU
from hn_training.scoring import score

BRAINSTEM, PAROTID_L, EYE_L, EYE_R = 1, 3, 5, 6
BLANKED = slice(0, 10)


def write(folder: Path, hu: np.ndarray, labels: np.ndarray) -> None:
    folder.mkdir(parents=True)
    affine = np.diag([-4.0, -4.0, 5.0, 1.0])
    for name, volume in (("data", hu.astype(np.int16)), ("label", labels.astype(np.uint8))):
        nib.save(nib.Nifti1Image(volume.T, affine), folder / f"{name}.nii.gz")


@pytest.fixture
def eyes(dataset, tmp_path) -> config.Config:
    """Three made-up heads of 40, 41 and 42 HU: eyes drawn and the lower slices blanked, eyes known to be absent,
    eyes unknown."""
    z, y, x = np.ogrid[:40, :40, :40]
    head = ((y - 20) ** 2 + (x - 20) ** 2 < 18**2) & (z >= 0)
    index = {}
    for number in range(3):
        hu = np.where(head, 40 + number, -1000)
        labels = np.zeros(head.shape, np.uint8)
        labels[18:24, 18:24, 18:24] = 1
        context = {"Brainstem": 1.0}
        if number == 0:
            hu[BLANKED] = -1000
            labels[30:35, 8:13, 24:29], labels[30:35, 8:13, 11:16] = 8, 9
        if number < 2:
            context |= {"Eye_L": 1.0, "Eye_R": 1.0}
        write(tmp_path / "heads" / f"pt_{number}", hu, labels)
        index[f"heads/pt_{number}"] = {"context": context}
    (tmp_path / "heads.json").write_text(json.dumps(index))
    settings = dataset.as_dict()
    settings["data"] |= {
        "train": str(tmp_path / "heads"),
        "validation": str(tmp_path / "heads"),
        "index": str(tmp_path / "heads.json"),
        "labels": {"Brainstem": 1, "Eye_L": 8, "Eye_R": 9},
    }
    return config.from_dict(settings)


def unchanged(settings: config.Config, **augment) -> config.Config:
    """Without any augmentation but what is asked for."""
    nothing = dict.fromkeys(settings.as_dict()["augment"], 0.0)
    return replace(settings, augment=config.Augment(**nothing | augment))


def test_an_organ_known_to_be_absent_is_background_and_an_unknown_one_is_not(eyes):
    drawn, absent, unknown = (np.load(folder / "target.npy") for folder in cache.build(eyes, "train"))
    bit = 1 << (EYE_L - 1)
    assert (drawn[0] == EYE_L).any() and not (drawn[1] & bit).any()
    assert not (absent[0] == EYE_L).any() and not (absent[1] & bit).any()
    assert (unknown[1] & bit).all()


def test_an_absent_organ_has_no_dice_but_what_is_found_is_counted(eyes):
    folders = patients.folders(eyes.data.validation)
    drawn, absent, unknown = (patients.read(folder, eyes.data) for folder in folders)
    chances = np.zeros((7, *drawn.image.shape), np.float32)
    chances[EYE_L, 30:35, 8:13, 24:29] = 1
    assert score.dice(chances, drawn) == {"Brainstem": 0.0, "Eye_L": 1.0, "Eye_R": 0.0}
    assert score.invented_ml(chances, drawn) == {} == score.invented_ml(chances, unknown)
    assert set(score.dice(chances, absent)) == {"Brainstem"} == set(score.dice(chances, unknown))
    assert score.invented_ml(chances, absent) == {"Eye_L": pytest.approx(10.0), "Eye_R": 0.0}
    counted = score.Scores({}, {"a": score.invented_ml(chances, absent), "b": score.invented_ml(0 * chances, absent)})
    assert counted.inventions() == {"Eye_L": (1, 2), "Eye_R": (0, 2)}
    assert score.quick_patients(replace(eyes, optimise=replace(eyes.optimise, validate_patients=1))) == [folders[0]]


def test_patches_show_drawn_organs_often_and_where_absent_ones_are_looked_for(eyes):
    patches = Patches(cache.build(eyes, "train"), unchanged(eyes), 200)
    places = [patches.place(np.random.default_rng(n)) for n in range(400)]
    organs = [organ for _, organ, _ in places]
    assert set(organs) == {None, BRAINSTEM, EYE_L, EYE_R}
    assert 0.25 < sum(organ in (EYE_L, EYE_R) for organ in organs) / len(organs) < 0.55
    assert list(patches.absent) == [1] and sum(patient == 1 and organ is None for patient, organ, _ in places) > 30
    image = np.load(patches.volumes[1] / "image.npy")
    assert patches.absent[1][:, 0].min() >= len(image) - 32 - 7  # 80 mm and the margin over the head


def test_several_processes_prepare_the_same_batches(eyes):
    volumes = cache.build(eyes, "train")

    def batches(workers: int) -> list[torch.Tensor]:
        optimise = replace(eyes.optimise, workers=workers, steps=5, batch=1)
        return [batch["image"] for batch in loader(volumes, replace(eyes, optimise=optimise), first_step=1)]

    one, three = batches(1), batches(3)
    assert len(one) == 4 and all(torch.equal(a, b) for a, b in zip(one, three, strict=True))


def test_the_void_is_filled_with_another_patients_tissue_that_teaches_nothing(eyes):
    volumes = cache.build(eyes, "train")
    plain, filled = (Patches(volumes, unchanged(eyes, fill=share), 60) for share in (0.0, 1.0))
    seen = 0
    for number in range(60):
        patient, _organ, _centre = plain.place(np.random.default_rng((eyes.optimise.seed, number)))
        before, after = plain[number], filled[number]
        new = (before["image"] < -0.9) & (after["image"] > -0.2)
        if patient or not new.any():
            continue
        seen += 1
        assert (after["unknown"][new] == ALL_UNKNOWN).all()
        assert torch.equal(after["labels"], before["labels"])
        known = (after["unknown"] != ALL_UNKNOWN) & (before["unknown"] != ALL_UNKNOWN)
        assert torch.allclose(after["image"][known], before["image"][known]) and known.any()
        again = Patches(volumes, unchanged(eyes, fill=1.0), 60)[number]
        assert all(torch.equal(after[key], again[key]) for key in after)
    assert seen >= 3


def test_filling_mixes_as_interpolation_did(eyes):
    """Between a patient's 40 HU and a donor's 41 or 42 HU there is no dark rim at the border of the void."""
    patches = Patches(cache.build(eyes, "train"), eyes, 1)
    centre = np.array([24, 40, 40])
    image, target = patches.around(0, centre)
    rim = (target[2] > 0) & (target[2] < 255)
    assert (image[rim] < 0).any()
    patches.fill(image, target, 0, BRAINSTEM, centre, np.random.default_rng(0))
    middle = image[:, 10:-10, 10:-10]
    assert middle[rim[:, 10:-10, 10:-10]].min() > 30 and middle.max() < 45


def test_only_slices_without_tissue_are_void(eyes):
    folders = patients.folders(eyes.data.train)
    blanked, whole, _ = (np.load(folder / "target.npy")[2] for folder in cache.build(eyes, "train"))
    assert not whole.any() and (blanked > 0).any(axis=(1, 2)).sum() < len(blanked) / 2
    assert not patients.read(folders[0], eyes.data).image[0].max() > -1000


def solid(shape: tuple[int, ...]) -> dict:
    """A patch that is all brainstem, with something unknown everywhere."""
    return {
        "image": torch.zeros(shape),
        "labels": torch.ones(shape, dtype=torch.uint8),
        "unknown": torch.full(shape, 2, dtype=torch.uint8),
    }


def test_a_blanked_box_leaves_background_and_reaches_the_middle():
    change = BlankBox(1.0)
    middle = slabs = 0
    for seed in range(40):
        change.set_random_state(seed=seed)
        data = solid((1, 16, 16, 16))
        out = change(data)
        gone = out["image"] == AIR_HU
        assert not gone.all() and not out["labels"][gone].any() and not out["unknown"][gone].any()
        assert out["labels"][~gone].all() and (data["image"] == 0).all()
        middle += bool(gone[0, 8, 8, 8])
        rows = gone[0].all(dim=(1, 2))
        slabs += bool(rows.any() and not rows[0] and not rows[-1])
    assert middle > 0 and slabs > 5


def test_a_blanked_half_is_background_but_for_a_band_beyond_its_edge(dataset):
    """Organs end half of the way down a soft edge;
    within BAND_MM from there they are unknown, deeper down background."""
    change = BlankHalfSpace(1.0, dataset.grid)
    soft = bands = middle = 0
    for seed in range(60):
        change.set_random_state(seed=seed)
        data = solid((1, 20, 24, 24))
        out = change(data)
        image, labels, unknown = (out[key][0] for key in ("image", "labels", "unknown"))
        gone = labels == 0
        assert not gone.all() and (data["image"] == 0).all()
        assert (image[~gone] >= AIR_HU / 2).all() and (image[gone] <= AIR_HU / 2).all()
        assert (unknown[~gone] == 2).all() and set(unknown[gone].unique().tolist()) <= {0, ALL_UNKNOWN}
        middle += bool((image[10, 12, 12] == AIR_HU) and gone[10, 12, 12])
        soft += bool(((image > AIR_HU) & (image < 0)).any())
        bands += bool((unknown == ALL_UNKNOWN).any() and (unknown == 0).any())
    assert bands > 20 and 20 < soft < 58 and middle > 0


def test_the_band_beyond_the_edge_is_as_wide_as_a_voxel_of_the_output(dataset):
    change = BlankHalfSpace(1.0, dataset.grid)
    change.direction = lambda: np.array([1.0, 0.0, 0.0])
    edges = 0
    for seed in range(20):
        change.set_random_state(seed=seed)
        out = change(solid((1, 32, 8, 8)))
        kept, band = (out["labels"] > 0)[0, :, 0, 0], (out["unknown"] == ALL_UNKNOWN)[0, :, 0, 0]
        if kept[:-5].all():
            continue
        last = int(kept.nonzero().max())
        assert kept[: last + 1].all() and band.nonzero().flatten().tolist() in (
            [last + 1],
            [last + 1, last + 2],
        )  # of 2.5 mm
        assert (out["image"][0, last + 3 :] == AIR_HU).all() and (out["image"][0, : max(last - 1, 0)] == 0).all()
        edges += 1
    assert edges > 5


def test_a_changed_contour_is_prepared_anew(eyes):
    folder = cache.build(eyes, "train")[1]
    before = (folder / "image.npy").stat().st_mtime_ns
    assert cache.build(eyes, "train")[1] == folder and (folder / "image.npy").stat().st_mtime_ns == before
    source = patients.folders(eyes.data.train)[1]
    labels = nib.load(source / "label.nii.gz")
    nib.save(nib.Nifti1Image(np.zeros(labels.shape, np.uint8), labels.affine), source / "label.nii.gz")
    cache.build(eyes, "train")
    assert not np.load(folder / "target.npy")[0].any()
