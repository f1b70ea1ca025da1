"""Contours as voxels: what they enclose, on the grid of the CT's image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .readback import fill
from .tracing.contours import SliceContour

if TYPE_CHECKING:
    from ..dicom import PlanningCT


def filled(contours: Sequence[SliceContour], ct: PlanningCT) -> np.ndarray:
    """bool [k, j, i] on `ct.image`'s grid: voxels whose centres the contours of one ROI surround.

    contours: as `placed` gives them, holes joined by keyholes. Where the image is the stack of slices, each slice fills
    its own plane, and what `trace` drew becomes the labelmap again. A plane of a resampled image (tilted or uneven
    slices) takes the contours of the nearest slice, moved along the slices' normal.
    """
    image = ct.image
    to_index = np.linalg.inv(np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()).T
    origin = np.array(image.GetOrigin())
    rings: dict[str, list[np.ndarray]] = defaultdict(list)
    for contour in contours:
        rings[contour.sop_instance_uid].append((contour.points - origin) @ to_index)
    planes = np.array([((np.array(slice_.position) - origin) @ to_index)[2] for slice_ in ct.slices])
    columns, rows, depth = image.GetSize()
    mask = np.zeros((depth, rows, columns), bool)
    for k in range(depth):
        nearest = ct.slices[int(np.argmin(np.abs(planes - k)))].sop_instance_uid
        if nearest in rings:
            mask[k] = fill([ring[:, :2] for ring in rings[nearest]], (rows, columns))
    return mask
