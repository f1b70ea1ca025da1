"""Between a CT slice's pixels and patient coordinates (DICOM PS3.3 C.7.6.2.1.1).

Pixel coordinates are (column, row), 0 at the first pixel's centre; patient coordinates are mm, LPS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ...dicom import CtSlice


def normal(slice_: CtSlice) -> np.ndarray:
    """Unit vector (3,) across the slice: row cosines x column cosines."""
    return np.cross(np.asarray(slice_.row_cosines, float), np.asarray(slice_.column_cosines, float))


def to_patient(slice_: CtSlice, pixels: np.ndarray) -> np.ndarray:
    """(n, 2) pixel coordinates -> (n, 3) patient coordinates."""
    along_row = np.asarray(slice_.row_cosines, float) * slice_.column_spacing
    down_column = np.asarray(slice_.column_cosines, float) * slice_.row_spacing
    return np.asarray(slice_.position, float) + pixels[:, :1] * along_row + pixels[:, 1:] * down_column


def to_pixels(slice_: CtSlice, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, 3) patient coordinates -> (n, 2) pixel coordinates and (n,) signed distances from the plane in mm."""
    offset = points - np.asarray(slice_.position, float)
    columns = offset @ np.asarray(slice_.row_cosines, float) / slice_.column_spacing
    rows = offset @ np.asarray(slice_.column_cosines, float) / slice_.row_spacing
    return np.column_stack([columns, rows]), offset @ normal(slice_)
