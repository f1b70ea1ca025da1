"""The CT as a planning scanner would have taken it: 512 x 512, on a couch, under a mask."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import SimpleITK as sitk

from .places import onto
from .scan import AIR_HU, SLICE_CM2, TISSUE_HU, Draw, Scan, Varied, everything, like, mask_image

PIXELS, LEAST_MM = 512, 1.0
COUCH_MM, COUCH_SHELL_MM, COUCH_WIDTH_MM, COUCH_DEPTH_MM = 50.0, 2.5, 500.0, 25.0
COUCH_SHELL_HU, COUCH_CORE_HU = -300, -930  # thin carbon fibre, foam
FAR_MM = 1000.0  # from the body
MASK_MM, MASK_GAP_MM, MASK_HU = 2.5, 1.0, -120  # thermoplastic: polycaprolactone, perforated
NECK_MM = 260.0  # a wider slice has shoulders, which the mask leaves free


def planning_ct(scan: Scan, _draw: Draw) -> Varied:
    """512 x 512 in plane at 1 mm or, of a wider scan, the least above; cubic;
    a couch below and a thermoplastic shell on the skin."""
    grid = planning_grid(scan.ct)
    hu = in_plane(scan.hu, scan.ct, grid, AIR_HU, cubic)
    body = _body(scan)
    if body.any():
        _paint(hu, in_plane(_depth(body, scan.ct), scan.ct, grid, FAR_MM, linear), grid)
    return Varied(like(hu, grid), everything(scan), lambda mask: onto(mask, grid, scan.ct))


def cubic(x: np.ndarray) -> np.ndarray:
    """Weight of a sample x steps away: cubic convolution with a = -1/2 (R. Keys, IEEE Trans. ASSP 29, 1153, 1981)."""
    x = np.abs(x)
    return np.where(x < 1, 1.5 * x**3 - 2.5 * x**2 + 1, np.where(x < 2, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2, 0))


def linear(x: np.ndarray) -> np.ndarray:
    return np.maximum(1 - np.abs(x), 0)


def in_plane(values: np.ndarray, ct: sitk.Image, grid: sitk.Image, outside: float, kernel: Callable) -> np.ndarray:
    """values [k, j, i] of the CT's voxels at those of the grid, whose slices are the CT's; float32."""
    across, down = (kernel(_places(ct, grid, axis)[:, None] - np.arange(ct.GetSize()[axis])) for axis in (0, 1))
    inner = values.astype(np.float32) - outside
    return np.float32(outside) + down.astype(np.float32) @ inner @ across.astype(np.float32).T


def _places(ct: sitk.Image, grid: sitk.Image, axis: int) -> np.ndarray:
    """Where the grid's voxels lie along an axis, in voxels of the CT."""
    first = ct.TransformPhysicalPointToContinuousIndex(grid.GetOrigin())[axis]
    return first + np.arange(grid.GetSize()[axis]) * grid.GetSpacing()[axis] / ct.GetSpacing()[axis]


def planning_grid(ct: sitk.Image) -> sitk.Image:
    """Empty, about the same middle, slices as they are."""
    columns, rows, slices = ct.GetSize()
    spacing = ct.GetSpacing()
    fine = max(LEAST_MM, columns * spacing[0] / PIXELS, rows * spacing[1] / PIXELS)
    half = (PIXELS - 1) / 2 * fine
    first = [(n - 1) / 2 - half / mm for n, mm in zip((columns, rows), spacing, strict=False)]
    grid = sitk.Image([PIXELS, PIXELS, slices], sitk.sitkUInt8)
    grid.SetSpacing((fine, fine, spacing[2]))
    grid.SetDirection(ct.GetDirection())
    grid.SetOrigin(ct.TransformContinuousIndexToPhysicalPoint((*first, 0.0)))
    return grid


def _body(scan: Scan) -> np.ndarray:
    """The largest piece of tissue, with what each slice encloses, on the slices that have enough for a head or neck."""
    parts = sitk.RelabelComponent(sitk.ConnectedComponent(mask_image(scan.hu > TISSUE_HU, scan.ct)))
    closed = sitk.BinaryMorphologicalClosing(parts == 1, (2, 2, 0))
    body = (
        np.stack([sitk.GetArrayFromImage(sitk.BinaryFillhole(closed[:, :, k])) for k in range(closed.GetSize()[2])])
        != 0
    )
    area = np.count_nonzero(body, axis=(1, 2)) * np.prod(scan.ct.GetSpacing()[:2]) / 100
    return body & (area >= SLICE_CM2)[:, None, None]


def _depth(body: np.ndarray, ct: sitk.Image) -> np.ndarray:
    """mm outside the skin, negative inside; measured on the CT's own voxels, which are coarse."""
    outside = sitk.SignedMaurerDistanceMap(
        mask_image(body, ct), insideIsPositive=False, squaredDistance=False, useImageSpacing=True
    )
    # From the outermost voxels' centres: the skin is half a voxel further out.
    return np.minimum(sitk.GetArrayViewFromImage(outside) - ct.GetSpacing()[0] / 2, FAR_MM)


def _paint(hu: np.ndarray, depth: np.ndarray, grid: sitk.Image) -> None:
    """Couch and mask into the air of hu [k, j, i], in place."""
    fine = grid.GetSpacing()[0]
    inside = depth <= 0
    couch = _couch(inside, fine)
    for k, plane in enumerate(depth):
        air = (hu[k] < TISSUE_HU) & (plane > 0)
        hu[k] = np.where(air & (couch != AIR_HU), couch, hu[k])
        columns = np.flatnonzero(inside[k].any(axis=0))
        if len(columns) and (columns[-1] - columns[0]) * fine < NECK_MM:
            rows = np.flatnonzero(inside[k].any(axis=1))
            front = np.arange(len(plane))[:, None] < (rows[0] + 2 * rows[-1]) / 3  # the mask is pinned behind the ears
            shell = (plane > MASK_GAP_MM) & (plane <= MASK_GAP_MM + MASK_MM)
            hu[k][shell & front & air] = MASK_HU


def _couch(inside: np.ndarray, fine: float) -> np.ndarray:
    """HU [j, i] of the couch, the same in every slice; AIR_HU where it is not.
    Hollow towards the patient, whom it touches."""
    rows, columns = np.flatnonzero(inside.any(axis=(0, 2))), np.flatnonzero(inside.any(axis=(0, 1)))
    across = (np.arange(inside.shape[2]) - (columns[0] + columns[-1]) / 2) * fine
    top = COUCH_DEPTH_MM * (1 - (across / (COUCH_WIDTH_MM / 2)) ** 2)  # below the couch's rims
    below = (np.arange(inside.shape[1])[:, None] - rows[-1] - 1) * fine + COUCH_DEPTH_MM - top[None, :]
    wide = np.abs(across)[None, :] <= COUCH_WIDTH_MM / 2
    solid = wide & (below >= 0) & (below <= COUCH_MM)
    rim = (
        (below < COUCH_SHELL_MM)
        | (below > COUCH_MM - COUCH_SHELL_MM)
        | (np.abs(across)[None, :] > COUCH_WIDTH_MM / 2 - COUCH_SHELL_MM)
    )
    return np.where(solid, np.where(rim, COUCH_SHELL_HU, COUCH_CORE_HU), AIR_HU)
