"""Traces eyeballs on axial CT slices, one slice at a time, for reference contours.

No shape model: on each slice the outline is the cheapest closed path round a start point
through the image's edges in polar coordinates; where muscle, nerve, lid or bone hides the
edge, the path's stiffness continues the visible outline. A person chooses the first and last
slice and the start, looks at every outline, and replaces what is wrong by hand-set points.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import map_coordinates, spline_filter

from ..config import three
from ..data.patients import load_volume

RAYS = 32
STEP_MM = 0.25
POINTS = 24
FAT_HU, WATER_HU = -100.0, 0.0
BONE_FROM_HU, BONE_HU = 80.0, 200.0
AIR_HU = -180.0  # below fat
LID_MM = 1.5  # of a closed lid's 2 to 3 mm, which look like the eye; partial volume takes the rest


def likeness(hu: np.ndarray) -> np.ndarray:
    """1 in water and muscle, 0 in fat, air and bone; one half midway between water and fat."""
    low = np.clip((hu - FAT_HU) / (WATER_HU - FAT_HU), 0, 1)
    high = np.clip((BONE_HU - hu) / (BONE_HU - BONE_FROM_HU), 0, 1)
    return np.minimum(low, high)


def upsampled(plane: np.ndarray) -> np.ndarray:
    """Cubic spline coefficients of an axial slice (x, y) in HU, clipped so that air and bone ring less."""
    return spline_filter(np.clip(plane, -250.0, 350.0), order=3)


def rays(
    plane: np.ndarray, spacing: tuple[float, float], centre: tuple[float, float], reach: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """HU along rays (ray, radius) from `centre` (voxel x, y), and the radii in mm.

    `plane` is (x, y) in HU, `spacing` mm a voxel in x and y, `reach` the least and largest radius in mm.
    """
    radii = np.arange(reach[0] - STEP_MM, reach[1] + 1.5 * STEP_MM, STEP_MM)
    angles = np.arange(RAYS) * 2 * np.pi / RAYS
    x = centre[0] + np.outer(np.cos(angles), radii) / spacing[0]
    y = centre[1] + np.outer(np.sin(angles), radii) / spacing[1]
    return map_coordinates(upsampled(plane), [x, y], order=3, prefilter=False, mode="nearest"), radii


def behind_the_lid(chosen: np.ndarray, hu: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Radii (ray) moved inwards by a lid's thickness where air lies within 3 mm outside."""
    outside = np.minimum(np.searchsorted(radii, chosen + 3.0), len(radii) - 1)
    air = (hu[np.arange(RAYS), outside] < AIR_HU).astype(float)
    share = (np.roll(air, 1) + air + np.roll(air, -1)) / 3
    return chosen - LID_MM * share


def cheapest_closed_path(cost: np.ndarray, stiffness: float) -> np.ndarray:
    """Index per ray of the closed path with the least sum of cost (ray, radius) and stiffness * step^2."""
    count = cost.shape[1]
    steps = np.arange(count)
    bend = stiffness * (steps[:, None] - steps[None, :]) ** 2
    best, path = np.inf, None
    for first in range(count):
        total = np.full(count, np.inf)
        total[first] = cost[0, first]
        back = []
        for row in cost[1:]:
            via = total[:, None] + bend
            back.append(via.argmin(0))
            total = via.min(0) + row
        total = total + bend[first]
        if total.min() < best:
            best, here = total.min(), int(total.argmin())
            path = [here]
            for pointers in reversed(back):
                path.append(int(pointers[path[-1]]))
            path.reverse()
    return np.array(path)


def trace(
    plane: np.ndarray,
    spacing: tuple[float, float],
    centre: tuple[float, float],
    reach: tuple[float, float] = (4.0, 13.5),
    stiffness: float = 0.05,
) -> np.ndarray:
    """The outline round `centre` on one axial slice: (POINTS, 2) voxel x, y, counted like `rays`.

    The cost of a radius is the missing fall of the likeness there (its slope per mm against
    0.25 a mm) plus what unlike tissue the ray has crossed on its way. The start is moved to the
    outline's centroid twice, so that it need not be exact: 3 mm off moves the centroid by less than 1 mm.
    """
    for _ in range(3):
        hu, radii = rays(plane, spacing, centre, (reach[0], reach[1] + 3.0))
        inside = radii <= reach[1] + 1.1 * STEP_MM
        like = likeness(hu[:, inside])
        fall = -(like[:, 2:] - like[:, :-2]) / (2 * STEP_MM)
        crossed = np.cumsum(1 - like[:, 1:-1], axis=1) * STEP_MM
        cost = -np.clip(fall, 0, 0.25) / 0.25 + 0.25 * np.maximum(crossed - 1.0, 0)
        chosen = radii[inside][1:-1][cheapest_closed_path(cost, stiffness)]
        chosen = behind_the_lid(chosen, hu, radii)
        angles = np.arange(RAYS) * 2 * np.pi / RAYS
        outline = np.column_stack([np.cos(angles) * chosen, np.sin(angles) * chosen])
        outline = outline / np.asarray(spacing) + np.asarray(centre)
        x, y = centroid(outline)
        centre = (float(x), float(y))
    return smooth(outline)


def smooth(points: np.ndarray, count: int = POINTS) -> np.ndarray:
    """`count` points, evenly spaced, on the closed cubic spline through `points` (n, 2)."""
    closed = np.vstack([points, points[:1]])
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    curve = CubicSpline(along, closed, bc_type="periodic")
    fine = curve(np.linspace(0, along[-1], 40 * count + 1))
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(fine, axis=0), axis=1))])
    wanted = np.linspace(0, length[-1], count, endpoint=False)
    return np.column_stack([np.interp(wanted, length, fine[:, i]) for i in range(2)])


def area(points: np.ndarray | list) -> float:
    """Area of a polygon (n, 2), in squares of its units."""
    x, y = np.asarray(points, float).T
    return 0.5 * abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))


def centroid(points: np.ndarray | list) -> np.ndarray:
    """Centroid (x, y) of a polygon's area."""
    x, y = np.asarray(points, float).T
    cross = x * np.roll(y, -1) - np.roll(x, -1) * y
    return np.array([((x + np.roll(x, -1)) @ cross), ((y + np.roll(y, -1)) @ cross)]) / (3 * cross.sum())


def volume_ml(contours: dict[str, list], spacing: tuple[float, float, float]) -> float:
    """Volume in ml of a stack of contours (voxel z -> polygon), each as thick as a slice."""
    return sum(area(p) for p in contours.values()) * float(np.prod(spacing)) / 1000


def centre_mm(contours: dict[str, list], spacing: tuple[float, float, float]) -> np.ndarray:
    """Volume centroid (x, y, z) of a stack of contours, in mm from voxel 0, 0, 0."""
    weights = np.array([area(p) for p in contours.values()])
    places = np.array([[*centroid(p), int(z)] for z, p in contours.items()])
    return weights @ places / weights.sum() * np.asarray(spacing)


def by_hand(entry: dict | list, spacing: tuple[float, float]) -> np.ndarray:
    """A hand-set outline: voxel points, or a round one by centre (voxel) and two radii (mm, x and y)."""
    if isinstance(entry, dict):
        angles = np.arange(POINTS) * 2 * np.pi / POINTS
        unit = np.column_stack([np.cos(angles), np.sin(angles)])
        entry = np.asarray(entry["centre"]) + unit * np.asarray(entry["radii_mm"]) / np.asarray(spacing)
    return smooth(np.asarray(entry, float))


def draw(volume: np.ndarray, spacing: tuple[float, float, float], plan: dict) -> dict:
    """One eye by its plan: {"contours": {z: points}, "corrected": [z set by hand]}.

    `volume` is (x, y, z) in HU. `plan` holds the first and last slice, a start (voxel x, y) on the
    middle one, and hand-set outlines. From slice to slice the trace starts midway between the
    last outline's centroid and the plan's start.
    """
    first, last, start = plan["first"], plan["last"], np.asarray(plan["start"], float)
    middle = round((first + last) / 2)
    outlines = {}
    for slices in (range(middle, last + 1), range(middle - 1, first - 1, -1)):
        here = start
        for z in slices:
            outlines[z] = trace(volume[:, :, z], spacing[:2], tuple(here))
            here = (centroid(outlines[z]) + start) / 2
    for z, entry in plan["by_hand"].items():
        outlines[int(z)] = by_hand(entry, spacing[:2])
    contours = {str(z): np.round(outlines[z], 2).tolist() for z in sorted(outlines)}
    return {"contours": contours, "corrected": sorted(int(z) for z in plan["by_hand"])}


def draw_patient(path: Path, plan: dict) -> dict:
    """Both eyes of one CT (`path`: NIfTI, LPS axes) by the patient's plan."""
    image = load_volume(path)
    if nib.aff2axcodes(image.affine) != ("L", "P", "S"):
        raise ValueError(f"{path} does not have LPS axes; re-orient it first.")
    volume = np.asarray(image.dataobj, dtype=float)
    spacing = three(float(s) for s in image.header.get_zooms()[:3])
    eyes = {eye: draw(volume, spacing, plan[eye]) for eye in ("Eye_L", "Eye_R")}
    return {"state": plan["state"]} | eyes


def main(patients: Path, plan_file: Path, out: Path) -> None:
    """Draws every patient of the plan, `patients`/<name>/data.nii.gz, into one JSON file."""
    plan = json.loads(plan_file.read_text())
    drawn = {
        name: draw_patient(patients / name / "data.nii.gz", p) if p["state"] == "drawn" else p
        for name, p in plan.items()
    }
    rows = json.dumps(drawn, indent=1)
    # One line a polygon.
    rows = re.sub(r"\[\s+(-?[\d.]+),\s+(-?[\d.]+)\s+\]", r"[\1, \2]", rows)
    rows = re.sub(r"\],\s+\[", "], [", re.sub(r"\[\s+\[", "[[", re.sub(r"\]\s+\]", "]]", rows)))
    out.write_text(rows + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("Use: python -m hn_training.eyes.trace_eyes PATIENT_FOLDERS PLAN.json OUT.json")
    main(*map(Path, sys.argv[1:]))
