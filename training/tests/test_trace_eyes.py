"""The slice tracer on a phantom orbit, and the frozen validation contours."""

import functools
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hn_training.eyes import trace_eyes as eyes

FROZEN = Path(__file__).resolve().parents[1] / "eyes"
DATA = Path(os.environ.get("HNSEG_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")) / "openkbp"
SPACING = (4.7, 4.7, 3.0)
RADIUS, LID = 12.2, 2.5
CENTRE_MM = (45.0, 37.0, 30.0)


@functools.cache
def orbit(with_muscle: bool = True) -> np.ndarray:
    """(x, y, z) HU at SPACING, averaged from 0.47 mm: a globe in fat, lid, air, bone and muscle."""
    fine, cells = 0.47, (20, 20, 20)
    x, y = np.meshgrid(*[(np.arange(200) + 0.5) * fine - SPACING[0] / 2] * 2, indexing="ij")
    volume = np.empty(cells)
    for z in range(cells[2]):
        layers = []
        for height in z * SPACING[2] + np.linspace(-1.25, 1.25, 6):
            plane = np.full(x.shape, -95.0)
            plane[np.hypot(x - CENTRE_MM[0] - 22, y - CENTRE_MM[1] - 6) < 6] = 900.0
            if with_muscle:
                plane[(abs(x - CENTRE_MM[0] + RADIUS + 1) < 2) & (y > CENTRE_MM[1])] = 50.0
            plane[y < CENTRE_MM[1] - RADIUS - LID] = -1000.0
            lid = (y < CENTRE_MM[1] - RADIUS) & (y > CENTRE_MM[1] - RADIUS - LID)
            plane[lid] = 40.0
            globe = sum((a - c) ** 2 for a, c in zip((x, y, height), CENTRE_MM)) < RADIUS**2
            plane[globe] = 15.0
            layers.append(plane)
        volume[:, :, z] = np.mean(layers, axis=0).reshape(20, 10, 20, 10).mean(axis=(1, 3))
    return volume + np.random.default_rng(0).normal(0, 8, cells)


def true_area(z: int) -> float:
    return np.pi * (RADIUS**2 - (z * SPACING[2] - CENTRE_MM[2]) ** 2)


@pytest.mark.parametrize("with_muscle", [False, True])
def test_a_globe_in_the_phantom_is_traced(with_muscle):
    """At 4.7 mm a voxel the outline is the globe's to a tenth of its radius, and never wider by much."""
    volume = orbit(with_muscle)
    start = (CENTRE_MM[0] / SPACING[0], CENTRE_MM[1] / SPACING[1])
    for z in (8, 9, 10, 11, 12):
        outline = eyes.trace(volume[:, :, z], SPACING[:2], start)
        found = eyes.area(outline) * SPACING[0] * SPACING[1]
        assert 0.8 < found / true_area(z) < 1.05
        off = (eyes.centroid(outline) - start) * SPACING[:2]
        assert np.hypot(*off) < 1.5


def test_a_start_three_mm_off_ends_near_the_same_outline():
    plane = orbit()[:, :, 10]
    start = np.array([CENTRE_MM[0] / SPACING[0], CENTRE_MM[1] / SPACING[1]])
    first = eyes.trace(plane, SPACING[:2], tuple(start))
    for shift in ([3.0, 0.0], [-2.0, 2.0], [0.0, -3.0]):
        other = eyes.trace(plane, SPACING[:2], tuple(start + np.array(shift) / SPACING[:2]))
        assert np.hypot(*((eyes.centroid(other) - eyes.centroid(first)) * SPACING[:2])) < 1.0
        assert eyes.area(other) == pytest.approx(eyes.area(first), rel=0.15)


def test_a_drawn_eye_has_the_globes_volume_and_place():
    plan = {
        "first": 7,
        "last": 13,
        "start": [9.4, 8.0],
        "by_hand": {"13": {"centre": [9.6, 7.9], "radii_mm": [7.5, 7.5]}},
    }
    eye = eyes.draw(orbit(), SPACING, plan)
    assert list(eye["contours"]) == [str(z) for z in range(7, 14)] and eye["corrected"] == [13]
    expected = sum(true_area(z) for z in range(7, 14)) * SPACING[2] / 1000
    assert eyes.volume_ml(eye["contours"], SPACING) == pytest.approx(expected, rel=0.15)
    assert np.linalg.norm(eyes.centre_mm(eye["contours"], SPACING) - CENTRE_MM) < 1.5


def test_the_closed_path_is_the_cheapest_of_all():
    cost = np.random.default_rng(3).normal(size=(5, 4))
    found = eyes.cheapest_closed_path(cost, 0.3)
    paths = np.stack(np.meshgrid(*[np.arange(4)] * 5), -1).reshape(-1, 5)
    prices = cost[np.arange(5), paths].sum(1) + 0.3 * ((paths - np.roll(paths, -1, axis=1)) ** 2).sum(1)
    assert (found == paths[prices.argmin()]).all()


def test_area_and_centroid_of_a_rectangle():
    rectangle = np.array([[1, 2], [5, 2], [5, 4], [1, 4]])
    assert eyes.area(rectangle) == 8 and eyes.area(rectangle[::-1]) == 8
    assert np.allclose(eyes.centroid(rectangle[::-1]), [3, 3])


def test_the_frozen_contours_are_untouched():
    digest, name = (FROZEN / "validation.json.sha256").read_text().split()
    assert hashlib.sha256((FROZEN / name).read_bytes()).hexdigest() == digest


def test_the_frozen_contours_are_eyes():
    drawn = {n: p for n, p in json.loads((FROZEN / "validation.json").read_text()).items() if p["state"] == "drawn"}
    assert len(drawn) == 11
    for patient in drawn.values():
        for eye in ("Eye_L", "Eye_R"):
            slices = [int(z) for z in patient[eye]["contours"]]
            assert slices == list(range(slices[0], slices[-1] + 1))
            assert all(12 <= len(points) <= 32 for points in patient[eye]["contours"].values())
            assert set(patient[eye]["corrected"]) <= set(slices)
        left, right = (eyes.centre_mm(patient[e]["contours"], (1, 1, 1)) for e in ("Eye_L", "Eye_R"))
        assert left[0] > right[0] + 10, "LPS axes: the left eye has the larger x"


def test_the_plan_draws_the_frozen_contours_again():
    """With OpenBLAS's sums for AVX2, as then: others round otherwise, and paths of equal cost change."""
    if not DATA.is_dir():
        pytest.skip("The head-and-neck CTs are not on this machine (HNSEG_DATA).")
    plan = json.loads((FROZEN / "validation_plan.json").read_text())
    frozen = json.loads((FROZEN / "validation.json").read_text())
    assert list(plan) == list(frozen)
    draw = "import json, sys; from pathlib import Path; from hn_training.eyes import trace_eyes as eyes; "
    draw += "print(json.dumps(eyes.draw_patient(Path(sys.argv[1]), json.loads(sys.argv[2]))))"
    drawn = subprocess.run(
        [sys.executable, "-c", draw, str(DATA / "validation" / "pt_212" / "data.nii.gz"), json.dumps(plan["pt_212"])],
        env={**os.environ, "OPENBLAS_CORETYPE": "Haswell"},
        cwd=FROZEN.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    again = json.loads(drawn.stdout)
    assert again["Eye_L"]["corrected"] == frozen["pt_212"]["Eye_L"]["corrected"]
    for z, points in frozen["pt_212"]["Eye_L"]["contours"].items():
        assert np.allclose(again["Eye_L"]["contours"][z], points, atol=0.02)
