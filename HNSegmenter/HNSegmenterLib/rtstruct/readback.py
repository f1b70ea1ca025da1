"""An RTSTRUCT read back: what its contours enclose, against the labelmaps that they were drawn from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
from pydicom.dataset import Dataset

from ..errors import RuntimeFault
from ..silent_libraries import quiet
from .pairing import PairedRoi, pair
from .tracing.contours import SliceContour, encode, slice_masks
from .tracing.planes import to_pixels
from .writer import contour_points

if TYPE_CHECKING:
    import SimpleITK as sitk

    from ..dicom import PlanningCT

LEAST_DICE = 0.99


@quiet()
def agreement(dataset: Dataset, ct: PlanningCT, labelmaps: Mapping[str, sitk.Image]) -> dict[str, float]:
    """ROI name -> Dice coefficient of its contours with the labelmap of that name, over all of the CT's slices.

    labelmaps: ROI name -> binary image on `ct.image`'s grid. A name that only one side has scores 0.
    """
    drawn = {roi.name: roi for roi in pair(dataset).rois}
    scores = dict.fromkeys([*drawn, *labelmaps], 0.0)
    for name in set(drawn) & set(labelmaps):
        scores[name] = _dice(_rings(drawn[name]), ct, labelmaps[name])
    return scores


def require_contours(dataset: Dataset, asked: Mapping[str, Sequence[SliceContour]]) -> None:
    """Raises RuntimeFault unless every ROI of an RTSTRUCT that was read back has the contours asked for under its name.

    asked: ROI name -> its contours; there must be no others.
    """
    pairing = pair(dataset)
    expected = {
        name: sorted((str(c.sop_instance_uid), encode(c.points)) for c in contours) for name, contours in asked.items()
    }
    found = {
        roi.name: sorted((uid, encode(ring)) for uid, rings in _rings(roi).items() for ring in rings)
        for roi in pairing.rois
    }
    wrong = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]
    if wrong or pairing.nameless:
        names = ", ".join(wrong) or "no ROI"
        raise RuntimeFault(
            f"The RTSTRUCT's contours of {names} are not those that were to be written: nothing was kept. Report it."
        )


def _rings(roi: PairedRoi) -> dict[str, list[np.ndarray]]:
    """SOP Instance UID of the slice -> (n, 3) contours on it."""
    rings: dict[str, list[np.ndarray]] = defaultdict(list)
    for contour in roi.contours:
        rings[str(contour.ContourImageSequence[0].ReferencedSOPInstanceUID)].append(contour_points(contour))
    return rings


def _dice(rings: dict[str, list[np.ndarray]], ct: PlanningCT, labelmap: sitk.Image) -> float:
    expected = {slice_.sop_instance_uid: (mask, corner) for slice_, mask, corner in slice_masks(ct, labelmap)}
    both = total = 0
    for slice_ in ct.slices:
        uid = slice_.sop_instance_uid
        if uid not in rings and uid not in expected:
            continue
        filled = fill([to_pixels(slice_, ring)[0] for ring in rings.get(uid, [])], (slice_.rows, slice_.columns))
        total += int(np.count_nonzero(filled))
        if uid in expected:
            mask, (column, row) = expected[uid]
            inside = filled[row : row + mask.shape[0], column : column + mask.shape[1]] & mask
            both += int(np.count_nonzero(inside))
            total += int(np.count_nonzero(mask))
    return float(2 * both / total) if total else 0.0


def fill(rings: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """bool [row, column]: pixels whose centres lie in any ring by the even-odd rule; rings (n, 2) of (column, row)."""
    filled = np.zeros(shape, bool)
    for ring in rings:
        first = max(int(np.floor(ring[:, 1].min())), 0)
        last = min(int(np.ceil(ring[:, 1].max())), shape[0])
        if last > first:
            filled[first:last] |= fill_ring(ring - [0, first], (last - first, shape[1]))
    return filled


def fill_ring(ring: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """bool [row, column]: pixels whose centres one closed ring surrounds by the even-odd rule;
    ring (n, 2) of (column, row).

    Each edge changes the state of every pixel on its right, in the rows that it crosses.
    """
    crossings = np.zeros((shape[0], shape[1] + 1), np.int32)
    for one, other in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        (ax, ay), (bx, by) = (other, one) if one[1] > other[1] else (one, other)
        rows = np.arange(max(0, ceil(ay)), min(shape[0], ceil(by)))  # ay <= row < by
        if len(rows):
            reached = np.ceil(ax + (rows - ay) * (bx - ax) / (by - ay)).astype(int)
            crossings[rows, np.clip(reached, 0, shape[1])] += 1
    return (np.cumsum(crossings, axis=1)[:, :-1] & 1).astype(bool)
