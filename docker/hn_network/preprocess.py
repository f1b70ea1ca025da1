"""From the CT to the network's input: body, grid, HU scaling."""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import numpy as np

from .cuts import extend
from .errors import UnusableInput
from .files.nifti import Scan
from .grid import AlignedGrid, Box, Canonical, box_of, tilt_degrees
from .model import Preprocessing
from .oblique import ObliqueGrid

BODY_HU = -300
BODY_STEP_MM = 4.0  # the body is looked for in every voxel that is about so far from the last
SMALLEST_BODY_ML = 500.0  # a child's head is larger
MARGIN_VOXELS = 4  # of the network grid around the body
STRAIGHT_DEGREES = 5.0
"""Up to this tilt the network grid follows the image's axes: exact, fast, and heads lie no straighter than this."""


@dataclass(frozen=True)
class NetworkInput:
    """image: float32 [z, y, x], scaled; body: bool, same shape; box: where it lies in the network grid; void: bool on
    the canonical image, where nothing was measured beyond a cut through the patient, None without one."""

    image: np.ndarray
    body: np.ndarray
    box: Box
    grid: AlignedGrid | ObliqueGrid
    canonical: Canonical
    void: np.ndarray | None


def prepare(scan: Scan, rules: Preprocessing, threads: int) -> NetworkInput:
    """Raises UnusableInput if there is no body in the image."""
    canonical = Canonical.of(scan.affine)
    view = canonical.view(scan.voxels)
    affine = canonical.affine(scan.affine, view.shape)
    view, void = extend(view, np.linalg.norm(affine[:3, :3], axis=0))
    grid = _network_grid(view, affine, rules, threads)
    box = grid.box(_body_box(view, affine), MARGIN_VOXELS)
    hounsfield = grid.sample(box)
    body = hounsfield > BODY_HU
    np.clip(hounsfield, *rules.hu_clip, out=hounsfield)
    hounsfield -= np.float32(rules.hu_shift)
    hounsfield /= np.float32(rules.hu_scale)
    return NetworkInput(hounsfield, body, box, grid, canonical, void)


def scaled_air(rules: Preprocessing) -> float:
    return (rules.hu_clip[0] - rules.hu_shift) / rules.hu_scale


def _network_grid(
    view: np.ndarray, affine: np.ndarray, rules: Preprocessing, threads: int
) -> AlignedGrid | ObliqueGrid:
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if tilt_degrees(affine) <= STRAIGHT_DEGREES:
        return AlignedGrid(view, spacing, rules.spacing_mm, threads, rules.resolution_mm)
    along_image = AlignedGrid(view, spacing, (min(rules.spacing_mm),) * 3, threads, rules.resolution_mm)
    return ObliqueGrid(along_image, affine, rules.spacing_mm)


def _body_box(view: np.ndarray, affine: np.ndarray) -> Box:
    """The box [z, y, x] of the image around its largest connected tissue,
    and around what a gap across the patient parts from it."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)[::-1]
    steps = [max(1, int(BODY_STEP_MM / mm)) for mm in spacing]
    tissue = view[:: steps[0], :: steps[1], :: steps[2]] > BODY_HU
    parts = cc3d.statistics(cc3d.connected_components(np.ascontiguousarray(tissue), connectivity=6))
    volumes_ml = parts["voxel_counts"] * float(np.prod(spacing * steps)) / 1000
    volumes_ml[0] = 0
    by_size = np.argsort(-volumes_ml, kind="stable")
    largest_ml = volumes_ml[by_size[0]]
    if largest_ml < SMALLEST_BODY_ML:
        raise UnusableInput(
            f"The largest connected tissue in the image is {largest_ml:.0f} ml, "
            "there is no head in it: give the whole CT."
        )
    kept: list[Box] = []
    for part in by_size[volumes_ml[by_size] >= SMALLEST_BODY_ML]:
        box = parts["bounding_boxes"][part]
        if all(2 * _overlap(box[0], other[0]) < box[0].stop - box[0].start for other in kept):
            kept.append(box)
    return box_of(
        slice(
            max(0, (min(box[a].start for box in kept) - 1) * steps[a]),
            min(view.shape[a], max(box[a].stop for box in kept) * steps[a] + 1),
        )
        for a in range(3)
    )


def _overlap(one: slice, other: slice) -> int:
    return max(0, min(one.stop, other.stop) - max(one.start, other.start))
