"""The contours of an RTSTRUCT as masks again, read as any other program would: from their points alone."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset

from ..errors import UnusableInput
from ..rtstruct.pairing import pair
from ..rtstruct.readback import fill_ring
from ..rtstruct.tracing.overlaps import Crossing, arrange, own_areas
from ..silent_libraries import quiet

PLANE_TOLERANCE = 0.25  # of the slice distance: a contour between two slices belongs to neither


@quiet()
def read_contours(path: Path, grid: sitk.Image) -> dict[str, np.ndarray]:
    """ROI Name -> bool [k, j, i] on the grid, whose slices k are those that the contours lie in.

    A voxel is in an ROI if an odd number of its contours on the slice surround the voxel's centre, so that holes are
    holes; a contour that is there twice counts once. Raises UnusableInput if the file is unreadable, a contour lies in
    no slice or crosses another of its ROI, or it cannot be told whose it is.
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
    rings: dict[int, list[np.ndarray]] = defaultdict(list)
    for contour in contours:
        points = np.reshape(np.asarray(contour.ContourData, float), (-1, 3))
        index = (points - grid.GetOrigin()) @ to_index.T
        k = round(float(index[:, 2].mean()))
        if not 0 <= k < len(mask) or np.abs(index[:, 2] - k).max() > PLANE_TOLERANCE:
            raise ValueError("a contour lies in none of its slices.")
        rings[k].append(index[:, :2])
    for k, drawn in rings.items():
        for ring in _without_repeats(drawn, grid.GetSpacing()[:2]):
            mask[k] ^= fill_ring(ring, mask.shape[1:])
    return mask


def _without_repeats(rings: list[np.ndarray], spacing: tuple[float, float]) -> list[np.ndarray]:
    """An outline that is there twice would undo itself. Raises ValueError if two cross."""
    if len(rings) == 1:
        return rings
    flat = [ring * spacing for ring in rings]
    try:
        _, repeats = arrange(flat, own_areas(flat)[0].tolist())
    except Crossing as crossing:
        raise ValueError("contours of one ROI cross.") from crossing
    return [ring for n, ring in enumerate(rings) if n not in repeats]
