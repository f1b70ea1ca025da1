"""Whether two images have their voxels in the same places."""

from __future__ import annotations

from itertools import product

import numpy as np
import SimpleITK as sitk

TOLERANCE_MM = 0.1  # NIfTI keeps float32


def same_grid(first: sitk.Image, second: sitk.Image) -> bool:
    """Equal size, and every corner voxel within a tenth of a millimetre of the other's."""
    if first.GetSize() != second.GetSize():
        return False
    corners = product(*((0, size - 1) for size in first.GetSize()))
    return all(
        np.allclose(first.TransformIndexToPhysicalPoint(c), second.TransformIndexToPhysicalPoint(c), rtol=0, atol=TOLERANCE_MM)
        for c in corners
    )
