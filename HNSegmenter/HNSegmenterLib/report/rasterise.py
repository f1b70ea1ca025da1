"""The contours of an RTSTRUCT as masks again, read as any other program would: from their points alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset

from ..errors import UnusableInput
from ..quiet import quiet
from ..rtstruct.pairing import pair
from ..rtstruct.readback import fill_ring

PLANE_TOLERANCE = 0.25  # of the slice distance: a contour between two slices belongs to neither


@quiet()
def read_contours(path: Path, grid: sitk.Image) -> dict[str, np.ndarray]:
    """ROI Name -> bool [k, j, i] on the grid, whose slices k are those that the contours lie in.

    A voxel is in an ROI if an odd number of its contours on the slice surround the voxel's centre, so that holes are holes.
    Raises UnusableInput if the file is unreadable, a contour lies in no slice, or it cannot be told whose it is.
    """
    try:
        dataset = pydicom.dcmread(path)
    except (OSError, pydicom.errors.InvalidDicomError) as error:
        raise UnusableInput(f"{path} is no readable RTSTRUCT.") from error
    if "StructureSetROISequence" not in dataset or "ROIContourSequence" not in dataset:
        raise UnusableInput(f"{path} is no readable RTSTRUCT.")
    try:
        pairing = pair(dataset)
    except UnusableInput as refusal:
        raise UnusableInput(f"{path}: {refusal.sentence}") from refusal
    if pairing.nameless:
        raise UnusableInput(f"{path} has contours of no ROI: they could be any organ's.")
    try:
        return {roi.name: _mask(roi.contours, grid) for roi in pairing.rois}
    except ValueError as error:
        raise UnusableInput(f"{path} does not fit the CT: {error}") from error
    except AttributeError as error:
        raise UnusableInput(f"{path} has a contour without points.") from error


def _mask(contours: list[Dataset], grid: sitk.Image) -> np.ndarray:
    to_index = np.linalg.inv(np.reshape(grid.GetDirection(), (3, 3)) * grid.GetSpacing())
    mask = np.zeros(grid.GetSize()[::-1], bool)
    for contour in contours:
        points = np.reshape(np.asarray(contour.ContourData, float), (-1, 3))
        index = (points - grid.GetOrigin()) @ to_index.T
        k = round(float(index[:, 2].mean()))
        if not 0 <= k < len(mask) or np.abs(index[:, 2] - k).max() > PLANE_TOLERANCE:
            raise ValueError("a contour lies in none of its slices.")
        mask[k] ^= fill_ring(index[:, :2], mask.shape[1:])
    return mask
