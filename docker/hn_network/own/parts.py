"""Which of the connected parts that the network marked are the organ.

What lies apart from an organ is something else, so the organ is its largest part. The spinal cord is the exception:
metal, its streaks or a gap in the scan interrupt it, and the part in a long scan's trunk is larger than the one in the
neck. There every part is the organ that continues the others along the spine;
what lies beside them, in an arm or a rib, is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import numpy as np

from ..grid import Box, box_of
from ..model import Organ

SMALLEST_PART_ML = 0.1  # smaller findings are specks, also where the scan's end cuts an organ
ALONG_THE_SPINE = {"2748008"}  # SNOMED CT: spinal cord

SMALLEST_FURTHER_ML = 0.5  # of the cord: 4 mm of its length
THICKNESS_MM2 = (
    40.0,
    350.0,
)  # mean cross-section: experts' cords have 36 to 342, chance finds in arms and ribs mostly less
END_MM = 5.0  # the middle of an end is that of so much of it
OVERLAP_MM = 5.0  # from head to foot: more lies beside the cord
ASIDE_MM = {"L": (10.0, 0.3, 30.0), "P": (15.0, 0.6, 60.0)}
"""How far an end may lie aside from the next one: so much, and so much more for each mm of gap, at most. A spine bends
far more to front and back than sideways."""


@dataclass(frozen=True)
class _Stretch:
    """A part of the cord: the middles of its lower and upper end (L, P, S in mm), its thickness."""

    lower: np.ndarray
    upper: np.ndarray
    thickness_mm2: float

    @classmethod
    def of(cls, part: np.ndarray, steps: np.ndarray) -> _Stretch:
        """part: bool [z, y, x]; steps: as in parts_of_organ."""
        points = np.argwhere(part) @ steps
        heights = points[:, 2]
        length = float(np.ptp(heights)) + float(np.abs(steps[:, 2]).sum())
        return cls(
            points[heights <= heights.min() + END_MM].mean(axis=0),
            points[heights >= heights.max() - END_MM].mean(axis=0),
            len(points) * float(abs(np.linalg.det(steps))) / length,
        )

    @property
    def height(self) -> float:
        return float(self.lower[2] + self.upper[2]) / 2

    def continues(self, other: _Stretch) -> bool:
        """Whether it lies above or below the other one, in its line."""
        below, above = sorted((self, other), key=lambda stretch: stretch.height)
        aside_l, aside_p, gap = above.lower - below.upper
        if gap < -OVERLAP_MM:
            return False
        limits = (min(most, least + share * max(gap, 0.0)) for least, share, most in ASIDE_MM.values())
        return all(abs(aside) <= limit for aside, limit in zip((aside_l, aside_p), limits))


def parts_of_organ(mask: np.ndarray, organ: Organ, steps: np.ndarray) -> np.ndarray | None:
    """The parts of a mask (bool [z, y, x]) that are the organ; None if they are specks or there is none.

    steps: (3, 3), its rows the mm (L, P, S) of a step along z, y and x.
    """
    if not mask.any():
        return None
    found = bounds(mask)
    parts = cc3d.connected_components(np.ascontiguousarray(mask[found]), connectivity=26)
    sizes_ml = np.bincount(parts.ravel()) * abs(float(np.linalg.det(steps))) / 1000
    sizes_ml[0] = 0
    by_size = np.argsort(-sizes_ml, kind="stable")
    if sizes_ml[by_size[0]] < SMALLEST_PART_ML:
        return None
    kept = [by_size[0]]
    if organ.code and organ.code.get("value") in ALONG_THE_SPINE:
        kept += _further(parts, [part for part in by_size if sizes_ml[part] >= SMALLEST_FURTHER_ML], steps)
    whole = np.zeros(mask.shape, bool)
    whole[found] = np.isin(parts, kept)
    return whole


def _further(parts: np.ndarray, by_size: list[int], steps: np.ndarray) -> list[int]:
    """The numbers of those parts that continue the first one, larger ones before smaller ones."""
    line: list[_Stretch] = []
    further: list[int] = []
    for number in by_size:
        stretch = _Stretch.of(parts == number, steps)
        if not line:
            line.append(stretch)
        elif THICKNESS_MM2[0] <= stretch.thickness_mm2 <= THICKNESS_MM2[1] and _fits(stretch, line):
            line.append(stretch)
            further.append(number)
    return further


def _fits(stretch: _Stretch, line: list[_Stretch]) -> bool:
    """Whether it continues its neighbours above and below, and lies beside none."""
    below = [other for other in line if other.height <= stretch.height]
    above = [other for other in line if other.height > stretch.height]
    neighbours = [max(below, key=lambda other: other.upper[2])] if below else []
    neighbours += [min(above, key=lambda other: other.lower[2])] if above else []
    return all(stretch.continues(other) for other in neighbours)


def bounds(mask: np.ndarray) -> Box:
    """The box around a mask that is not empty."""
    found = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {a}))) for a in range(3)]
    return box_of(slice(int(f[0]), int(f[-1]) + 1) for f in found)
