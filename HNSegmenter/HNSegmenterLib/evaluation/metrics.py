"""How well a contour agrees with a reference: Dice, surface distances, volume error.

Definitions. A surface is the set of centres of a mask's voxels of which at least one of the six neighbours is not in
the mask. The directed distances run from each surface voxel of one mask to the nearest one of the other, in mm. HD95 is
the larger of the two directed 95th percentiles (linear between ranks); MSD the mean of the two directed means; the
largest distance (Hausdorff) that of either. The distances are those of SimpleITK's exact Maurer maps, which know
anisotropic spacing.
Only what counts takes part: a slice or voxel that does not, or the image's end, neither makes nor unmakes a surface, so
that a reference which stops with them has no lid there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

PERCENTILE = 95.0


@dataclass(frozen=True)
class Agreement:
    """dice 0..1; hd95, msd, largest in mm, None where one mask is empty (they would be infinite); volumes in ml."""

    dice: float
    hd95_mm: float | None
    msd_mm: float | None
    reference_ml: float
    predicted_ml: float
    largest_mm: float | None = None

    @property
    def volume_error_ml(self) -> float:
        return self.predicted_ml - self.reference_ml

    @property
    def volume_error_percent(self) -> float:
        """Of the reference's volume."""
        return 100.0 * self.volume_error_ml / self.reference_ml


def compare(
    reference: np.ndarray, predicted: np.ndarray, spacing: tuple[float, float, float], counted: np.ndarray | None = None
) -> Agreement:
    """Compare two bool masks [k, j, i] of one grid; spacing in mm (x, y, z);
    counted: bool per slice k or voxel, None for all.

    Raises ValueError if the reference is empty where it counts.
    """
    counted = np.ones(len(reference), bool) if counted is None else counted
    counted = np.broadcast_to(counted if counted.ndim == 3 else counted[:, None, None], reference.shape)
    if not (reference & counted).any():
        raise ValueError("the reference is empty")
    box = _box(reference | predicted)
    reference, predicted, counted = reference[box], predicted[box], counted[box]
    there, back = _directed(_surface(reference, counted), _surface(predicted, counted), spacing)
    measured = len(there) and len(back)
    sizes = [np.count_nonzero(mask & counted) for mask in (reference, predicted, reference & predicted)]
    voxel_ml = float(np.prod(spacing)) / 1000.0
    return Agreement(
        dice=2.0 * sizes[2] / (sizes[0] + sizes[1]),
        hd95_mm=float(max(np.percentile(there, PERCENTILE), np.percentile(back, PERCENTILE))) if measured else None,
        msd_mm=float((there.mean() + back.mean()) / 2) if measured else None,
        reference_ml=sizes[0] * voxel_ml,
        predicted_ml=sizes[1] * voxel_ml,
        largest_mm=float(max(there.max(), back.max())) if measured else None,
    )


def _box(mask: np.ndarray) -> tuple[slice, slice, slice]:
    """Around the mask, with one voxel to spare where the array has it."""
    box = []
    for axis in range(3):
        found = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        box.append(slice(max(0, int(found[0]) - 1), int(found[-1]) + 2))
    return box[0], box[1], box[2]


def _surface(mask: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Voxels that count with a neighbour off the mask;
    neighbours beyond the array or that don't count do not matter."""
    inner = mask.copy()
    for axis in range(3):
        lower, upper = _neighbours(axis)
        inner[lower] &= mask[upper] | ~counted[upper]
        inner[upper] &= mask[lower] | ~counted[lower]
    return mask & ~inner & counted


def _neighbours(axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """All but the last and all but the first along an axis."""
    lower, upper = [slice(None)] * 3, [slice(None)] * 3
    lower[axis], upper[axis] = slice(None, -1), slice(1, None)
    return tuple(lower), tuple(upper)


def _directed(
    first: np.ndarray, second: np.ndarray, spacing: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Distances (mm) from each voxel of the first surface to the second, and back; empty where one of them is."""
    if not first.any() or not second.any():
        return np.array([]), np.array([])
    return _distance_map(second, spacing)[first], _distance_map(first, spacing)[second]


def _distance_map(surface: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """Distance (mm) of every voxel's centre to the centre of the nearest surface voxel."""
    image = sitk.GetImageFromArray(surface.astype(np.uint8))
    image.SetSpacing(spacing)
    distances = sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    return np.maximum(sitk.GetArrayFromImage(distances), 0.0)  # inside a thick piece of surface it is negative
