"""Finds, for contours that somebody else drew, the CT slices they lie in, by geometry alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydicom.dataset import Dataset

from ..dicom.contents import some
from ..errors import UnusableInput
from ..silent_libraries import quiet
from .pairing import pair
from .tracing.contours import LONGEST_VALUE, SliceContour, encode, rounded
from .tracing.outlines import Outline, joined, untangled
from .tracing.planes import normal, to_patient, to_pixels
from .tracing.polygons import without_collinear
from .writer import contour_points

if TYPE_CHECKING:
    from ..dicom import CtSlice, PlanningCT

_ROUNDING_MM = 0.01  # coordinates are written to 0.01 mm: so far may a point lie beside its plane
_SNAP_SHARE = 0.2  # of the distance between slices: a contour nearer to a plane than this belongs to it ...
_SNAP_MOST_MM = 0.5  # ... but never from farther away
_XOR = "CLOSEDPLANAR_XOR"
_CLOSED = ("CLOSED_PLANAR", _XOR)
_EDGE_PIXELS = 0.51  # an outline may run along the outer edge of the outermost pixels


class Placer:
    """Places the contours of one RTSTRUCT on the slices of one CT; counts what it had to change."""

    def __init__(self, ct: PlanningCT):
        self._slices = ct.slices
        self._normal = normal(ct.slices[0])
        self._depths = np.array([np.dot(s.position, self._normal) for s in ct.slices])  # ascending, mm
        gaps = np.diff(self._depths)
        self._reach = min(_SNAP_MOST_MM, _SNAP_SHARE * float(gaps.min())) if len(gaps) else _SNAP_MOST_MM
        self.dropped = self.repeats = self.holes = 0
        self.farthest = 0.0

    def place(self, name: str, drawn: Sequence[Dataset]) -> list[SliceContour]:
        """Contour Sequence items of the ROI `name` -> contours in slice order.

        Raises UnusableInput for a contour that is damaged, open, in no slice's plane, outside the image, too long to be
        written, or such that readers would fill it differently: one that crosses another or runs over itself.
        """
        outlines = []
        for item in drawn:
            ring = _ring(name, item)
            if len(ring) < 3 or rounded(ring) is None:
                self.dropped += 1
            else:
                outlines.append(_in_plane(name, self._slice_of(name, ring), ring))
        by_slice: dict[str, list[Outline]] = defaultdict(list)
        for outline in untangled(name, outlines):
            by_slice[outline.slice_.sop_instance_uid].append(outline)
        xor = any(item.get("ContourGeometricType") == _XOR for item in drawn)
        return [
            SliceContour(slice_.sop_instance_uid, _writable(name, outline))
            for slice_ in self._slices
            if slice_.sop_instance_uid in by_slice
            for outline in self._joined(name, by_slice[slice_.sop_instance_uid], xor)
        ]

    def warnings(self) -> list[str]:
        """Sentences on everything that was changed."""
        found = []
        if self.dropped:
            found.append(
                some(
                    self.dropped,
                    "contour of fewer than three points or without area was",
                    "contours of fewer than three points or without area were",
                )
                + " left out."
            )
        if self.repeats:
            found.append(
                some(self.repeats, "contour repeats", "contours repeat")
                + " another of the same organ on the same slice: left out."
            )
        if self.holes:
            found.append(
                some(self.holes, "contour lies", "contours lie") + " inside another of the same organ: taken as holes."
            )
        if self.farthest > _ROUNDING_MM:
            found.append(f"Contours were moved by up to {self.farthest:.2f} mm into the planes of the CT's slices.")
        return found

    def _slice_of(self, name: str, ring: np.ndarray) -> CtSlice:
        depths = ring @ self._normal
        k = int(np.argmin(np.abs(self._depths - depths.mean())))
        away = float(np.abs(depths - self._depths[k]).max())
        if not away <= self._reach:
            raise UnusableInput(
                f"A contour of {name} lies {away:.2f} mm from the nearest slice: "
                "it was drawn on another CT or cut between slices. Draw it on this CT's own slices."
            )
        self.farthest = max(self.farthest, away)
        return self._slices[k]

    def _joined(self, name: str, outlines: list[Outline], xor: bool) -> list[Outline]:
        """Those of one slice, without repeats, the holes joined to what they lie in."""
        if len(outlines) == 1:
            return outlines
        found, repeats, holes = joined(name, outlines)
        if repeats and xor:
            raise UnusableInput(
                f"Two contours of {name} are the same on {repeats[0].place}. By their type, {_XOR}, they undo each "
                "other: delete one of them, or both."
            )
        self.repeats += len(repeats)
        self.holes += holes
        return found


def placed(dataset: Dataset, ct: PlanningCT) -> dict[str, list[SliceContour]]:
    """ROI name -> its contours, as `complete` is to write them if it keeps the names; ROIs without any are left out.

    Raises UnusableInput as `complete` does.
    """
    with quiet():
        placer = Placer(ct)
        found = {roi.name: placer.place(roi.name, roi.contours) for roi in pair(dataset).rois}
    return {name: contours for name, contours in found.items() if contours}


def _ring(name: str, item: Dataset) -> np.ndarray:
    """(n, 3) points, mm. Raises UnusableInput."""
    try:
        points = contour_points(item)
    except ValueError as error:
        raise UnusableInput(f"A contour of {name} is damaged: its coordinates are not triplets of numbers.") from error
    kind = item.get("ContourGeometricType")
    if len(points) > 2 and kind not in _CLOSED:
        raise UnusableInput(
            f"A contour of {name} is {kind or 'of no stated type'}: only closed planar contours make an organ."
        )
    if not np.isfinite(points).all():
        raise UnusableInput(f"A contour of {name} is damaged: a coordinate is not finite.")
    return points


def _in_plane(name: str, slice_: CtSlice, ring: np.ndarray) -> Outline:
    """Raises UnusableInput if it leaves the image."""
    pixels, distance = to_pixels(slice_, ring)
    if (np.abs(pixels - [(slice_.columns - 1) / 2, (slice_.rows - 1) / 2]) > _half(slice_)).any():
        raise UnusableInput(
            f"A contour of {name} runs outside slice {slice_.sop_instance_uid}: it was drawn on another CT."
        )
    return Outline(slice_, ring if np.abs(distance).max() <= _ROUNDING_MM else to_patient(slice_, pixels))


def _half(slice_: CtSlice) -> np.ndarray:
    """Half the slice's extent (columns, rows) about its middle, in pixels, to the outer edge."""
    return np.array([slice_.columns, slice_.rows]) / 2 - 0.5 + _EDGE_PIXELS


def _writable(name: str, outline: Outline) -> np.ndarray:
    points = rounded(outline.points)
    if points is not None and len(encode(points)) > LONGEST_VALUE:
        pixels = to_pixels(outline.slice_, outline.points)[0]
        points = rounded(to_patient(outline.slice_, without_collinear(np.round(pixels, 3))))
    if points is None or len(encode(points)) > LONGEST_VALUE:
        raise UnusableInput(
            f"A contour of {name} has {len(outline.points)} points, more than DICOM "
            "can hold in one: smooth or divide it."
        )
    return points
