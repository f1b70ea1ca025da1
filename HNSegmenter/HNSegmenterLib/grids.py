"""Grids of voxels: whether two lie in the same places, and the box around what is labelled."""

from __future__ import annotations

from itertools import product

import numpy as np
import SimpleITK as sitk

TOLERANCE_MM = 0.1  # NIfTI keeps float32


def same_grid(first: sitk.Image | sitk.ImageFileReader, second: sitk.Image | sitk.ImageFileReader) -> bool:
    """Equal size, and every corner voxel within a tenth of a millimetre of the other's;
    a reader has read its header."""
    same_size = first.GetSize() == second.GetSize()
    return same_size and np.allclose(_corners(first), _corners(second), rtol=0, atol=TOLERANCE_MM)


def _corners(image: sitk.Image | sitk.ImageFileReader) -> np.ndarray:
    """(8, 3) LPS mm."""
    indices = np.array(list(product(*((0, size - 1) for size in image.GetSize()))))
    return image.GetOrigin() + indices * image.GetSpacing() @ np.reshape(image.GetDirection(), (3, 3)).T


def bounding_box(voxels: np.ndarray) -> tuple[slice, slice, slice] | None:
    """Slices (k, j, i) around every voxel other than 0, None if there is none."""
    slices = np.flatnonzero(voxels.any(axis=(1, 2)))
    if not len(slices):
        return None
    planes = slice(int(slices[0]), int(slices[-1]) + 1)
    shadow = np.asarray(voxels[planes].any(axis=0))
    rows, columns = np.flatnonzero(shadow.any(axis=1)), np.flatnonzero(shadow.any(axis=0))
    return planes, slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
