"""From the CT to the network's input: body, grid, HU scaling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..body import BODY_HU, body_box
from ..files.nifti import Scan
from ..grid import AlignedGrid, Box, Canonical, tilt_degrees
from ..model import Preprocessing
from .cuts import extend
from .oblique import ObliqueGrid

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
    box = grid.box(body_box(view, affine), MARGIN_VOXELS)
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
