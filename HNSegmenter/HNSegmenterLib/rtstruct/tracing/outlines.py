"""The outlines of one ROI, made such that every reader fills the same of them, or refused.

Readers fill by the even-odd or by the nonzero rule, each outline for itself or all of a slice together. They agree
where an outline surrounds nothing twice and no two share area;
holes are joined to their outlines by keyholes, which all understand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ...errors import UnusableInput
from .contours import DECIMALS
from .overlaps import Crossing, arrange, negligible, own_areas
from .planes import to_patient, to_pixels
from .polygons import keyhole

if TYPE_CHECKING:
    from ...dicom import CtSlice


@dataclass
class Outline:
    """points (n, 3) in the plane of a slice, mm; flat: the same (n, 2) along its rows and columns;
    area: mm2 that it surrounds."""

    slice_: CtSlice
    points: np.ndarray
    flat: np.ndarray = field(init=False)
    area: float = field(init=False, default=0.0)

    def __post_init__(self):
        self.flat = to_pixels(self.slice_, self.points)[0] * _spacing(self.slice_)

    @property
    def place(self) -> str:
        """For people and for programs."""
        return f"slice {self.slice_.sop_instance_uid} (z {self.points[:, 2].mean():.1f} mm)"


def untangled(name: str, outlines: Sequence[Outline]) -> list[Outline]:
    """The ROI's outlines, measured; a keyhole whose hole runs in its outline's direction becomes an outline and a hole.

    Raises UnusableInput for one that surrounds something twice.
    """
    disputed = _measured(outlines)
    if any(disputed):
        outlines = [
            part
            for outline, area in zip(outlines, disputed, strict=True)
            for part in (_parts(outline) if area else [outline])
        ]
        disputed = _measured(outlines)
    for outline, area in zip(outlines, disputed, strict=True):
        if area:
            raise UnusableInput(
                f"A contour of {name} runs over itself on {outline.place}, around {area:.1f} mm2 twice: some planning "
                "systems would fill that, others not. Redraw it there."
            )
    return list(outlines)


def joined(name: str, outlines: Sequence[Outline]) -> tuple[list[Outline], list[Outline], int]:
    """The ROI's outlines on one slice, holes joined to them; those that repeat another, left out; how many are holes.

    outlines: untangled. One that lies inside an odd number of others is a hole. Raises UnusableInput if two cross.
    """
    try:
        groups, repeats = arrange([outline.flat for outline in outlines], [outline.area for outline in outlines])
    except Crossing as crossing:
        raise UnusableInput(
            f"Contours of {name} cross on {outlines[crossing.first].place}: some planning systems would fill what they "
            "share, others not. Redraw them there."
        ) from crossing
    found = [_with_holes(name, outlines[outer], [outlines[n] for n in holes]) for outer, holes in groups]
    return found, [outlines[n] for n in repeats], sum(len(holes) for _, holes in groups)


def _measured(outlines: Sequence[Outline]) -> list[float]:
    """Note the area of each; mm2 that it surrounds twice, 0 where that is no more than rounding makes."""
    filled, disputed = own_areas([outline.flat for outline in outlines])
    for outline, area in zip(outlines, filled, strict=True):
        outline.area = float(area)
    return [
        float(area) if area > negligible(outline.flat) else 0.0
        for outline, area in zip(outlines, disputed, strict=True)
    ]


def _parts(outline: Outline) -> list[Outline]:
    """The outline without its keyholes, and the hole at the end of each:
    where it comes to a point by a way that it goes back."""
    points = [tuple(point) for point in np.round(outline.points, DECIMALS) + 0.0]
    rest: list[tuple] = []
    holes: list[list[tuple]] = []
    for point, after in zip(points, [*points[1:], points[0]], strict=True):
        if point in rest[:-1]:
            start = rest.index(point)
            if after == (rest[start - 1] if start else points[-1]):
                holes.append(rest[start:])
                del rest[start:]
                continue
        if rest[-2:-1] == [point]:  # the way back
            rest.pop()
        elif rest[-1:] != [point]:
            rest.append(point)
    return [Outline(outline.slice_, np.array(ring)) for ring in (rest, *holes) if len(ring) > 2]


def _with_holes(name: str, outline: Outline, holes: list[Outline]) -> Outline:
    if not holes:
        return outline
    wanted = outline.area - sum(hole.area for hole in holes)
    allowed = sum(negligible(part.flat) for part in (outline, *holes))
    try:
        ring = keyhole(outline.flat, [hole.flat for hole in holes])
        (found,), (disputed,) = own_areas([ring])
        if abs(found - wanted) > allowed or disputed > allowed:
            raise ValueError("it surrounds something else")
    except ValueError as error:
        raise UnusableInput(
            f"A hole in {name} cannot be joined to its outline on {outline.place}: redraw it there."
        ) from error
    return Outline(outline.slice_, to_patient(outline.slice_, ring / _spacing(outline.slice_)))


def _spacing(slice_: CtSlice) -> np.ndarray:
    return np.array([slice_.column_spacing, slice_.row_spacing])
