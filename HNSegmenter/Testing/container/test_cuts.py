"""A part of the patient blanked beyond a plane:
the plane is found, organs are drawn up to it, and it is said which it ends."""

from __future__ import annotations

import json
import sys
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from Testing.container.phantoms import (
    BALLS,
    LPS,
    PREDICT,
    centred_affine,
    dice,
    events,
    grid_points,
    inside,
    patient_hu,
    predict,
    write_ct,
    write_model,
)

sys.path.insert(0, str(PREDICT.parent))
from hn_network.own.cuts import TISSUE_HU, extend, find_cuts

GRIDS = {"coarse": ((58, 64, 76), (3.9, 3.9, 3.0)), "fine": ((180, 200, 110), (1.2, 1.2, 2.0))}  # (i, j, k)
DIRECTIONS = {"left": (1, 0, 0), "feet": (0, 0, -1), "oblique": (0.6, -0.5, 0.7), "askew": (-0.3, 0.8, 0.4)}
BLANK_HU = -1024


def blanked(direction: tuple[float, float, float], at_mm: float = 0.0, patient=patient_hu):
    """The patient, with nothing farther than at_mm from the middle towards a direction (x, y, z)."""
    return lambda points: np.where(depth(points, direction) < at_mm, patient(points), BLANK_HU)


def depth(points: np.ndarray, direction: tuple[float, float, float]) -> np.ndarray:
    return points @ (np.array(direction) / np.linalg.norm(direction))


def image(grid: str, patient) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """HU and places (x, y, z) [z, y, x], and the spacing (x, y, z)."""
    shape, spacing = GRIDS[grid]
    points = grid_points(shape, centred_affine(LPS, spacing, shape)).transpose(2, 1, 0, 3)
    return np.rint(patient(points)).astype(np.int16), points, np.array(spacing)


def rough(points: np.ndarray) -> np.ndarray:
    """The patient in a scanner's noisy air."""
    return patient_hu(points) + np.random.default_rng(7).normal(0, 20, points.shape[:-1])


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
@pytest.mark.parametrize("patient", [patient_hu, rough])
def test_the_plane_is_found_where_it_is(grid, direction, patient):
    hu, points, spacing = image(grid, blanked(direction, 6.0, patient))
    (cut,) = find_cuts(hu, spacing[::-1])
    expected = np.array(direction) / np.linalg.norm(direction)
    assert np.degrees(np.arccos(min(1.0, cut.normal[::-1] @ expected))) < 1
    outermost = depth(points[hu > TISSUE_HU], direction).max()
    beyond = cut.beyond(hu.shape, spacing[::-1])
    assert beyond[hu > TISSUE_HU].max() == pytest.approx(0, abs=1.0)
    assert np.abs(beyond - (depth(points, direction) - outermost))[hu > TISSUE_HU].max() < 2.0


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("patient", [patient_hu, rough])
def test_skin_and_couch_are_no_cuts(grid, patient):
    hu, _, spacing = image(grid, patient)
    view, void = extend(hu, spacing)
    assert view is hu and void is None


def test_the_image_may_end_within_the_patient():
    """There the grid lets the edge go on by itself."""
    hu, _, spacing = image("coarse", patient_hu)
    for part in (hu[20:], hu[:, :40], hu[:, :, 25:45]):
        assert extend(part, spacing)[1] is None


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
def test_tissue_goes_on_beyond_the_plane(grid, direction):
    hu, points, spacing = image(grid, blanked(direction, 6.0, rough))
    whole = image(grid, rough)[0]
    extended, void = extend(hu, spacing)
    far = depth(points, direction) - 6.0
    assert void[(far > 0) & (hu == BLANK_HU)].mean() > 0.999 and not void[far < -np.max(spacing)].any()
    changed = extended != hu
    assert void[changed].all() and far[changed].max() < 4 + np.max(spacing) * 1.8
    tissue = (whole > TISSUE_HU) & (far > 0) & (far < 4)
    assert changed[tissue].mean() > 0.85 and np.median(np.abs(extended - whole)[tissue & changed]) < 60


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
def test_no_gap_where_it_was_blanked_and_then_resampled(direction):
    """Blanked at 1.6 mm and averaged to 3.2 mm: at the plane tissue is mixed with padding."""
    shape, at_mm = (116, 130, 130), 6.7
    fine = grid_points(shape, centred_affine(LPS, (1.6, 1.6, 1.6), shape)).transpose(2, 1, 0, 3)

    def averaged(values: np.ndarray) -> np.ndarray:
        return values.reshape(65, 2, 65, 2, 58, 2, *values.shape[3:]).mean(axis=(1, 3, 5))

    hu = np.rint(averaged(blanked(direction, at_mm)(fine))).astype(np.int16)
    extended, _ = extend(hu, np.full(3, 3.2))
    whole, far = averaged(patient_hu(fine)), depth(averaged(fine), direction) - at_mm
    near = (np.abs(far) < 2.5) & (whole > TISSUE_HU)
    assert (
        np.abs(extended - whole)[near] < 40 - TISSUE_HU
    ).mean() > 0.9  # a little padding in it may still look like tissue


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("beyond_mm", [6, 12])
def test_what_is_stray_beyond_hides_no_plane(grid, beyond_mm):
    """Half a millilitre, as of a mask or a wire."""
    direction = DIRECTIONS["left"]
    middle = np.array([6.0 + beyond_mm, 20, 10])

    def stray(points):
        return np.linalg.norm(points - middle, axis=-1) < 5

    clean, points, spacing = image(grid, blanked(direction, 6.0))
    hu = np.where(stray(points), 40, clean).astype(np.int16)
    assert (hu != clean).any()
    expected, void = extend(clean, spacing)
    found, found_void = extend(hu, spacing)
    assert np.array_equal(found_void, void & ~stray(points))
    assert np.array_equal(found[~stray(points)], expected[~stray(points)])


def test_a_large_and_noisy_ct_takes_no_more_memory_than_a_copy_of_it():
    """Noise makes skin of inner voxels."""
    shape, spacing = (320, 320, 120), (1.4, 1.4, 2.5)
    patient = patient_hu(grid_points(shape, centred_affine(LPS, spacing, shape)).transpose(2, 1, 0, 3))
    hu = np.rint(patient + np.random.default_rng(7).normal(0, 80, patient.shape)).astype(np.int16)
    tracemalloc.start()
    try:
        assert extend(hu, spacing)[1] is None
        assert tracemalloc.get_traced_memory()[1] < hu.nbytes
    finally:
        tracemalloc.stop()


def test_two_planes():
    above = blanked((0.2, 0, 1), 50)
    hu, _, spacing = image("coarse", blanked((1, 0.3, 0), 20, above))
    assert sorted(np.abs(cut.normal).argmax() for cut in find_cuts(hu, spacing[::-1])) == [0, 2]


def test_any_plane_through_a_real_patient_and_no_skin(real_data):
    """CTs blanked beyond a random plane through the middle;
    as they are, some end at a slice, and one lies on a flat support."""
    random = np.random.default_rng(5)
    for file in sorted((real_data / "openkbp" / "validation").glob("*/data.nii.gz")):
        ct = nib.load(file)
        hu = np.asarray(ct.dataobj).astype(np.int16).T
        spacing = np.linalg.norm(ct.affine[:3, :3], axis=0)[::-1]
        assert all(np.abs(cut.normal).max() > 0.999 for cut in find_cuts(hu, spacing)), file
        normal = random.normal(size=3)
        normal /= np.linalg.norm(normal)
        height = sum(np.arange(n).reshape(shape) * step for n, shape, step in
                     zip(hu.shape, ((-1, 1, 1), (-1, 1), (-1,)), spacing * normal))  # fmt: skip
        half = np.where(height < np.median(height[hu > TISSUE_HU]), hu, BLANK_HU)
        best = max(find_cuts(half, spacing), key=lambda cut: cut.normal @ normal)
        assert np.degrees(np.arccos(min(1.0, best.normal @ normal))) < 2, file
        assert np.abs(best.beyond(hu.shape, spacing)[half > TISSUE_HU].max()) < 2.5, file


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


def test_a_cut_organ_is_drawn_up_to_the_plane_and_named(model, tmp_path):
    """A plane through the left parotid alone."""
    direction, at_mm = (1, 0.25, -0.1), 45
    shape, spacing = GRIDS["coarse"]
    _, points = write_ct(tmp_path / "ct.nii", shape, spacing, patient=blanked(direction, at_mm))
    run = predict("--path", tmp_path / "ct.nii", "--output", tmp_path, "--model", model)
    assert run.returncode == 0, run.stderr
    in_view = depth(points, direction) < at_mm
    for organ in BALLS:
        found = np.asarray(nib.load(tmp_path / f"{organ}.nii.gz").dataobj) == 1
        assert not found[~in_view].any(), organ
        assert dice(found[in_view], inside(organ, points)[in_view]) > 0.75, organ
    edge = in_view & (depth(points, direction) > at_mm - 4)
    found = np.asarray(nib.load(tmp_path / "Parotid_L.nii.gz").dataobj) == 1
    assert found[edge & inside("Parotid_L", points)].mean() > 0.9
    (warning,) = json.loads((tmp_path / "result.json").read_text())["warnings"]
    assert warning.startswith("Parotid_L reaches a plane")
    assert [event["message"] for event in events(run) if event["event"] == "warning"] == [warning]
