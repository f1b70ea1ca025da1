"""Where an organ is, apart from how well it overlaps: the ends of the cord, the centres of the eyes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

AXIAL = 0.95  # cosine between the slices' normal and the patient's long axis


@dataclass(frozen=True)
class Ends:
    """Predicted minus reference height in mm, positive towards the head: of the upper and the lower end.

    None where the reference's end means nothing: the scan, or what is sound of it, ends there too.
    """

    top_mm: float | None
    bottom_mm: float | None


def ends(reference: np.ndarray, predicted: np.ndarray, grid: sitk.Image, sound: np.ndarray) -> Ends:
    """Ends of a long organ; both masks [k, j, i] hold something. sound: bool per slice k.

    An end of the reference counts if its slice and the next one beyond are sound.
    """
    step = _step_up_mm(grid)
    if step is None:
        return Ends(None, None)
    first, last = _first_last(reference)
    there = _first_last(predicted)
    low = (there[0] - first) * step if _open(sound, first, -1) else None
    high = (there[1] - last) * step if _open(sound, last, 1) else None
    return Ends(high, low) if step > 0 else Ends(low, high)


def _open(sound: np.ndarray, k: int, step: int) -> bool:
    return 0 <= k + step < len(sound) and bool(sound[k] and sound[k + step])


def _first_last(mask: np.ndarray) -> tuple[int, int]:
    slices = np.flatnonzero(mask.any(axis=(1, 2)))
    return int(slices[0]), int(slices[-1])


def _step_up_mm(grid: sitk.Image) -> float | None:
    """From one slice to the next towards the head; None if the slices are not axial."""
    along = grid.GetDirection()[8]
    return grid.GetSpacing()[2] * along if abs(along) >= AXIAL else None


def centre(mask: np.ndarray, grid: sitk.Image) -> np.ndarray:
    """(x, y, z) LPS mm of the middle of a mask [k, j, i] that holds something."""
    index = np.argwhere(mask).mean(axis=0)[::-1]
    return np.array(grid.TransformContinuousIndexToPhysicalPoint(index.tolist()))
