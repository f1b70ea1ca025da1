"""A long scan whose neck is parted from its larger trunk:
all that the neck and the head hold is found as if it were not there."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from Testing.container.phantoms import BALLS, BODY_HU, predict, write_ct, write_model

SHAPE, SPACING = (56, 56, 150), (4.0, 4.0, 4.0)
CORD_MM, CORD_HU = 9.0, BALLS["SpinalCord"][0]
GAP = (20.0, 44.0)  # mm from the middle, where the trunk ends and the neck begins
EYE = (24.0, -40.0, 250.0)
METAL_HU = 3000


def implanted(points: np.ndarray) -> np.ndarray:
    """HU: trunk, neck and head in one, a cord from end to end, 500 mm long,
    and where the neck begins nothing but metal in its place."""
    x, y, z = np.moveaxis(points, -1, 0)
    hu = np.full(x.shape, -1000.0)
    hu[np.hypot(x, y) < np.where(z < GAP[0], 95, 70)] = BODY_HU
    hu[np.hypot(x, y - 30) < CORD_MM] = CORD_HU
    hu[np.linalg.norm(points - EYE, axis=-1) < 15] = BALLS["Eye_L"][0]
    hu[(GAP[0] <= z) & (z < GAP[1]) & (np.hypot(x, y - 30) < 25)] = METAL_HU
    return hu


def severed(points: np.ndarray) -> np.ndarray:
    """The same, with slices there that hold nothing."""
    z = points[..., 2]
    return np.where((GAP[0] <= z) & (z < GAP[1]), -1024.0, implanted(points))


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize("patient", [implanted, severed])
def test_the_neck_above_a_gap_is_contoured_like_the_trunk(patient, model, tmp_path):
    _, points = write_ct(tmp_path / "ct.nii", SHAPE, SPACING, patient=patient)
    run = predict("--path", tmp_path / "ct.nii", "--output", tmp_path / "out", "--model", model)
    assert run.returncode == 0, run.stderr
    status = {
        organ["name"]: organ["status"] for organ in json.loads((tmp_path / "out" / "result.json").read_text())["organs"]
    }
    assert status["SpinalCord"] == status["Eye_L"] == "found"
    drawn = np.asarray(nib.load(tmp_path / "out" / "SpinalCord.nii.gz").dataobj) > 0
    heights = points[..., 2]
    for part in (heights < GAP[0] - 12, heights > GAP[1] + 12):  # mm of its ends, which the network does not see
        true = part & (np.hypot(points[..., 0], points[..., 1] - 30) < CORD_MM)
        assert np.count_nonzero(drawn & true) > 0.8 * np.count_nonzero(true)
    assert not drawn[(heights > GAP[0] + 8) & (heights < GAP[1] - 8)].any()
