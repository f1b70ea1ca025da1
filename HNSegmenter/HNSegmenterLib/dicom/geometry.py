"""Where the slices of a stack lie, and whether they make a regular, orthonormal grid."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .headers import Header

POSITION_TOLERANCE_MM = 0.1  # positions are often rounded to 0.1 mm; a tenth of a usual pixel
SAME_POSITION_MM = 0.01  # closer than any two slices of a scan
GAP_RATIO = 1.4  # a step this much longer than the steps on both sides of it is a gap
NEIGHBOURS = 3  # steps looked at on each side
MULTIPLE_TOLERANCE = 0.1  # of the finest step: how near to a whole multiple a step counts as one
OBLIQUE_DEGREES = 0.1
FARTHEST_MM = 1e5  # from the origin: no position of a scanner's
COSINE_TOLERANCE = 1e-3  # 0.06 degrees: 0.25 mm across a 250 mm head


@dataclass(frozen=True)
class Gap:
    """No slice between two neighbours; `missing` is how many of the usual ones would fit."""

    lower: int
    upper: int
    missing: int


@dataclass(frozen=True)
class Stack:
    """Slices sorted along the normal.

    row, column, normal: orthonormal unit vectors (LPS); row is the direction of increasing column index.
    positions: (n, 3) ImagePositionPatient in mm. offsets: (n, 3), positions relative to the first slice, in mm along
    (row, column, normal).
    """

    headers: tuple[Header, ...]
    row: np.ndarray
    column: np.ndarray
    normal: np.ndarray
    positions: np.ndarray
    offsets: np.ndarray

    @property
    def steps(self) -> np.ndarray:
        """(n-1,) distances between neighbours along the normal, mm."""
        return np.diff(self.offsets[:, 2])

    @property
    def step(self) -> float:
        """The mean distance between slices, mm: the grid's own where the stack is even."""
        return float(self.offsets[-1, 2]) / (len(self.headers) - 1)

    @property
    def even(self) -> bool:
        """Whether equal steps reach every slice within POSITION_TOLERANCE_MM."""
        ideal = np.arange(len(self.headers)) * self.step
        return bool(np.abs(self.offsets[:, 2] - ideal).max() <= POSITION_TOLERANCE_MM)

    @property
    def upright(self) -> bool:
        """Whether the first pixels of all slices lie on one line along the normal: no gantry tilt, no shifts."""
        return bool(np.ptp(self.offsets[:, :2], axis=0).max() <= POSITION_TOLERANCE_MM)

    @property
    def sheared(self) -> bool:
        """Whether the sideways shifts grow evenly along the normal, as a tilted gantry makes them."""
        along = self.offsets[:, 2]
        slope = along @ self.offsets[:, :2] / (along @ along)
        residual = self.offsets[:, :2] - along[:, None] * slope
        return not self.upright and bool(np.abs(residual).max() <= 2 * POSITION_TOLERANCE_MM)

    @property
    def tilt_degrees(self) -> float:
        """Angle between the line through the first pixels and the normal."""
        across = np.hypot(*self.offsets[-1, :2])
        return float(np.degrees(np.arctan2(across, self.offsets[-1, 2])))

    @property
    def oblique(self) -> bool:
        """Whether an axis of the slices is off the patient's axes; see are_oblique."""
        return are_oblique((self.row, self.column, self.normal))

    def gaps(self, unit: float = 0.0) -> list[Gap]:
        """Places where slices are missing; see _is_gap and _is_thinned for the two rules.
        unit: mm to which positions are rounded."""
        found = []
        steps = self.steps
        local = [_local_step(steps, n, unit) for n in range(len(steps))]
        finest = min(local)
        fine_at = local.index(finest)
        for n, step in enumerate(steps):
            is_gap = _is_gap(steps, n) and not _takes_turns(steps, n, unit)
            if is_gap or self._is_thinned(n, finest, fine_at):
                usual = min(_sides(steps, n)) if is_gap else finest
                found.append(Gap(n, n + 1, max(1, round(step / usual) - 1)))
        return found

    def duplicates(self) -> list[tuple[int, int]]:
        """Pairs (kept, other) of slices at one place."""
        pairs, kept = [], 0
        for n in range(1, len(self.headers)):
            if self.offsets[n, 2] - self.offsets[kept, 2] < SAME_POSITION_MM:
                pairs.append((kept, n))
            else:
                kept = n
        return pairs

    def without(self, dropped: set[int]) -> Stack:
        keep = [n for n in range(len(self.headers)) if n not in dropped]
        headers = tuple(self.headers[n] for n in keep)
        return replace(self, headers=headers, positions=self.positions[keep], offsets=self.offsets[keep])

    def moved(self, positions: np.ndarray) -> Stack:
        """The same slices at other positions, (n, 3) in mm, in the same order."""
        return replace(
            self,
            positions=positions,
            offsets=(positions - positions[0]) @ np.column_stack([self.row, self.column, self.normal]),
        )

    def _is_thinned(self, n: int, finest: float, fine_at: int) -> bool:
        """A coarser region is missing slices where its step is a whole multiple (2, 3, ...) of the finest one while
        its slices are no thicker: a protocol that changes the distance changes the thickness with it."""
        multiple = round(self.steps[n] / finest)
        if multiple < 2 or abs(self.steps[n] - multiple * finest) > MULTIPLE_TOLERANCE * finest:
            return False
        fine = self._thickness(fine_at)
        here = self._thickness(n)
        return fine is None or here is None or here < GAP_RATIO * fine

    def _thickness(self, step: int) -> float | None:
        lower, upper = (self.headers[n].number("SliceThickness") for n in (step, step + 1))
        return None if lower is None or upper is None else max(lower, upper)


def are_oblique(axes: Iterable[np.ndarray]) -> bool:
    """Whether one of an image's axes (unit vectors, LPS or RAS) is off the
    patient's axes by more than OBLIQUE_DEGREES."""
    return any(np.degrees(np.arccos(min(1.0, np.abs(axis).max()))) > OBLIQUE_DEGREES for axis in axes)


def orthonormal(cosines: tuple[float, ...]) -> bool:
    """Whether an Image Orientation (Patient) is two perpendicular unit vectors, within COSINE_TOLERANCE."""
    row, column = np.array(cosines[:3]), np.array(cosines[3:])
    errors = (row @ row - 1, column @ column - 1, row @ column)
    return bool(np.abs(cosines).max() < 2 and max(map(abs, errors)) <= 2 * COSINE_TOLERANCE)


def position_of(header: Header) -> tuple[float, ...] | None:
    """Image Position (Patient) in mm; None where it is absent, unreadable or absurd."""
    position = header.numbers("ImagePositionPatient", 3)
    return position if position and max(map(abs, position)) <= FARTHEST_MM else None


def cosines_of(header: Header) -> tuple[float, ...] | None:
    """Image Orientation (Patient); None where it is absent, unreadable or not orthonormal."""
    cosines = header.numbers("ImageOrientationPatient", 6)
    return cosines if cosines and orthonormal(cosines) else None


def most_shared(values: np.ndarray, tolerance: float) -> int:
    """The first row of (n, m) values that the most others equal within the tolerance: what the majority says."""
    shared = [int((np.abs(values - row).max(axis=1) <= tolerance).sum()) for row in values]
    return shared.index(max(shared))


def stack(headers: tuple[Header, ...]) -> Stack:
    """Sort slices of one orthonormal orientation (already checked) along their normal;
    ties by instance number, UID, path."""
    cosines = np.median([header.all_needed("ImageOrientationPatient", 6) for header in headers], axis=0)
    row = cosines[:3] / np.linalg.norm(cosines[:3])
    column = cosines[3:] - (cosines[3:] @ row) * row
    column /= np.linalg.norm(column)
    normal = np.cross(row, column)
    positions = np.array([position_of(header) for header in headers])
    along = positions @ normal
    order = sorted(range(len(headers)), key=lambda n: (round(float(along[n]) / SAME_POSITION_MM), *_name(headers[n])))
    positions = positions[order]
    offsets = (positions - positions[0]) @ np.column_stack([row, column, normal])
    return Stack(tuple(headers[n] for n in order), row, column, normal, positions, offsets)


def _name(header: Header) -> tuple[float, str, Path]:
    number = header.number("InstanceNumber")
    return (float("inf") if number is None else number, header.text("SOPInstanceUID"), header.path)


def _sides(steps: np.ndarray, n: int) -> list[float]:
    """Median of up to NEIGHBOURS steps before and after step n; a side without steps is left out."""
    before, after = steps[max(0, n - NEIGHBOURS) : n], steps[n + 1 : n + 1 + NEIGHBOURS]
    return [float(np.median(side)) for side in (before, after) if len(side)]


def _local_step(steps: np.ndarray, n: int, unit: float) -> float:
    near = steps[max(0, n - NEIGHBOURS) : n + 1 + NEIGHBOURS]
    return float(np.mean(near) if _rounded_alike(near, unit) else np.median(near))


def _takes_turns(steps: np.ndarray, n: int, unit: float) -> bool:
    """Whether a step is one of two that rounding makes of one, both of which are near."""
    others = np.r_[steps[max(0, n - NEIGHBOURS) : n], steps[n + 1 : n + 1 + NEIGHBOURS]]
    return bool(_rounded_alike(others, unit) and steps[n] <= others.max() + SAME_POSITION_MM)


def _rounded_alike(steps: np.ndarray, unit: float) -> bool:
    """Whether steps may be one and the same but for rounding. Of one and two units, one may be a missing slice."""
    return bool(steps.min() > 1.5 * unit and SAME_POSITION_MM < np.ptp(steps) <= unit + SAME_POSITION_MM)


def _is_gap(steps: np.ndarray, n: int) -> bool:
    """An isolated step longer than those on both sides; at a border between two regions the longer side excuses it."""
    return all(steps[n] > GAP_RATIO * side for side in _sides(steps, n))
