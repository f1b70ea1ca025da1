"""A part of the patient blanked beyond a plane: the plane is found, organs are drawn up to it, and it is said which it ends."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from container_phantoms import BALLS, LPS, PREDICT, centred_affine, dice, events, grid_points, inside, patient_hu, predict, write_ct, write_model

sys.path.insert(0, str(PREDICT.parent))
from hn_densevnet.cuts import TISSUE_HU, extend, find_cuts  # noqa: E402

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


def test_two_planes():
    above = blanked((0.2, 0, 1), 50)
    hu, _, spacing = image("coarse", blanked((1, 0.3, 0), 20, above))
    assert sorted(np.abs(cut.normal).argmax() for cut in find_cuts(hu, spacing[::-1])) == [0, 2]


def test_any_plane_through_a_real_patient_and_no_skin(real_data):
    """CTs blanked beyond a random plane through the middle; as they are, some end at a slice, and one lies on a flat support."""
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
