"""Positions that were rounded to whole or half millimetres, and the even stack that they were."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .geometry import POSITION_TOLERANCE_MM, SAME_POSITION_MM, Gap, Stack

UNITS_MM = (1.0, 0.5)
UNIT_NAMES = {1.0: "whole mm", 0.5: "half mm"}
WRITTEN_MM = 1e-3  # positions are written to this, at the least
LEAST_SLICES = 8
LEAST_SHARE = 0.08  # of the rarer of both steps: less is a shifted or lost slice here and there
MOST_GAPS = 0.1  # of all steps: more is no stack with gaps
SAID_TOLERANCE = 0.02  # of a distance that an attribute says
STEPS_TRIED = 400
DISTANCES = ("SpacingBetweenSlices", "SliceThickness")


@dataclass(frozen=True)
class Rounded:
    """unit: mm to which the positions were rounded. stack: at even positions, without gaps. gaps: where slices are
    missing, counted as if the positions had not been rounded; the stack is the stated one then."""

    unit: float
    step: float
    stack: Stack
    gaps: tuple[Gap, ...] = ()


def unrounded(stack: Stack) -> Rounded | None:
    """What explains the distances of an uneven stack (no duplicates) by rounding; None where it does not, or need not.

    Whole: equal steps reach every slice within half the unit (positions that were cut off: within the unit, towards 0).
    Steps of one and two units might as well be slices that are missing: there an attribute has to say the distance.
    """
    axis, unit = _moving_axis(stack), rounding_unit(stack)
    if stack.even or axis is None or unit is None or len(stack.headers) < LEAST_SLICES:
        return None
    direction = np.sign(stack.positions[-1, axis] - stack.positions[0, axis])
    along = direction * stack.positions[:, axis]
    scan = _Scan(stack, along, np.diff(along), unit, float(abs(stack.normal[axis])))
    if (step := _whole(scan)) is not None:
        even = step * np.arange(len(along))
        rest = along - even
        positions = stack.positions.copy()
        positions[:, axis] = direction * (even + (rest.max() + rest.min()) / 2)
        return Rounded(unit, step * scan.slope, stack.moved(positions))
    return _with_gaps(scan)


def rounding_unit(stack: Stack) -> float | None:
    """The unit of which every position along the axis that the slices move along is a multiple; None for none."""
    axis = _moving_axis(stack)
    if axis is None:
        return None
    values = stack.positions[:, axis]
    return next((unit for unit in UNITS_MM if np.abs(values - unit * np.rint(values / unit)).max() <= WRITTEN_MM), None)


def shared_by_rounding(stack: Stack) -> float | None:
    """The unit to which positions were rounded where several slices of one scan share one by that;
    None where it is not so."""
    unit = rounding_unit(stack)
    said = [header.number(word) for header in stack.headers for word in DISTANCES]
    return unit if unit and any(value and abs(value) < unit for value in said) else None


def numbers_missing(stack: Stack, gaps: Sequence[Gap]) -> bool:
    """Whether Instance Numbers, which count the slices else, leave some out at one of these gaps."""
    numbered = _numbered(stack)
    return bool(np.median(numbered) == 1 and any(numbered[gap.lower] > 1 for gap in gaps))


def _numbered(stack: Stack) -> np.ndarray:
    """How far Instance Numbers go from slice to slice (n-1,)."""
    return np.abs(np.diff([header.number("InstanceNumber") or 0.0 for header in stack.headers]))


def _moving_axis(stack: Stack) -> int | None:
    """The patient's axis along which alone the slices lie one after another (of tilted ones too);
    None for oblique ones."""
    moving = np.flatnonzero(np.ptp(stack.positions, axis=0) > SAME_POSITION_MM)
    return int(moving[0]) if len(moving) == 1 else None


@dataclass(frozen=True)
class _Scan:
    """along: ascending positions (n,) on the axis; steps: between them;
    slope: mm along the normal for a mm of the axis."""

    stack: Stack
    along: np.ndarray
    steps: np.ndarray
    unit: float
    slope: float

    def said(self) -> list[float]:
        """Distances on the axis that attributes say."""
        first = self.stack.headers[0]
        values = [
            *(first.number(word) for word in DISTANCES),
            located.mean() if (located := self.located()) is not None else None,
        ]
        return [abs(value) / self.slope for value in values if value]

    def says(self, keyword: str, step: float) -> bool:
        """Whether an attribute of every slice says this distance."""
        values = [header.number(keyword) or 0.0 for header in self.stack.headers]
        return bool(np.abs(np.abs(values) - step * self.slope).max() <= SAID_TOLERANCE * step * self.slope)

    def located(self) -> np.ndarray | None:
        """Distances (n-1,) by Slice Location, where they are not rounded themselves."""
        headers = self.stack.headers
        values = [value for header in headers if (value := header.number("SliceLocation")) is not None]
        if len(values) < len(headers):
            return None
        found = np.abs(np.diff(values))
        return None if np.abs(found - self.unit * np.rint(found / self.unit)).max() <= 2 * WRITTEN_MM else found


def _whole(scan: _Scan) -> float | None:
    """The step on the axis that explains every position; None where there is none, or something speaks against it."""
    numbers = np.arange(len(scan.along))
    roundings = (scan.along, scan.along + np.sign(scan.along) * scan.unit / 2)  # to the nearest, up or down; towards 0
    candidates = [(step, values) for step in scan.said() for values in roundings]
    candidates += [(_flattest(values, numbers, scan.unit), values) for values in roundings]
    for step, values in candidates:
        explained = np.ptp(values - step * numbers) <= scan.unit + WRITTEN_MM
        if explained and _both_steps(scan.steps, scan.unit, step) and _believable(scan, step):
            return step
    return None


def _flattest(values: np.ndarray, numbers: np.ndarray, unit: float) -> float:
    """The step that leaves the least spread (highest minus lowest) of values - step * numbers.
    It is convex in the step."""
    mean = (values[-1] - values[0]) / numbers[-1]
    low, high = mean - 2 * unit / numbers[-1], mean + 2 * unit / numbers[-1]
    for _ in range(60):
        third = (high - low) / 3
        if np.ptp(values - (low + third) * numbers) < np.ptp(values - (high - third) * numbers):
            high -= third
        else:
            low += third
    return round((low + high) / 2, 3)  # no scanner's steps are finer


def _both_steps(steps: np.ndarray, unit: float, step: float) -> bool:
    """Whether steps are the two multiples of the unit on both sides of the true step, and each of them often enough."""
    if not len(steps):
        return False
    lower = unit * np.floor(step / unit)
    short, long = np.abs(steps - lower) < unit / 4, np.abs(steps - lower - unit) < unit / 4
    return bool((short | long).all() and min(short.mean(), long.mean()) >= LEAST_SHARE)


def _twice(step: float, unit: float) -> bool:
    """Whether the longer one of the rounded steps is twice the shorter."""
    return bool(unit <= step < 2 * unit)


def _believable(scan: _Scan, step: float) -> bool:
    """Whether nothing contradicts this step and, where the longer one is twice the shorter, something says it."""
    if (located := scan.located()) is not None:
        return bool(np.abs(located - step * scan.slope).max() <= POSITION_TOLERANCE_MM)
    if not _twice(step, scan.unit):
        return True
    numbered = _numbered(scan.stack)
    counted = np.median(numbered) == 1 and numbered.max() > 1  # and left some out
    return not counted and any(scan.says(word, step) for word in DISTANCES)


def _with_gaps(scan: _Scan) -> Rounded | None:
    """The step that explains the positions with the fewest slices missing: as Instance Numbers say, or by trying."""
    found = _by_number(scan) or min(_tried(scan), key=lambda tried: tried[1].sum(), default=None)
    if found is None or (found[1] == 1).all():
        return None
    step, counts = found
    gaps = tuple(Gap(int(n), int(n) + 1, int(counts[n]) - 1) for n in np.flatnonzero(counts > 1))
    return Rounded(scan.unit, step * scan.slope, scan.stack, gaps)


def _by_number(scan: _Scan) -> tuple[float, np.ndarray] | None:
    counts = _numbered(scan.stack)
    if counts.min() < 1 or np.mean(counts > 1) > MOST_GAPS:
        return None
    numbers = np.r_[0, np.cumsum(counts)]
    step = _flattest(scan.along, numbers, scan.unit)
    explained = np.ptp(scan.along - step * numbers) <= scan.unit + WRITTEN_MM
    return (step, counts) if explained and _both_steps(scan.steps[counts == 1], scan.unit, step) else None


def _tried(scan: _Scan) -> Iterator[tuple[float, np.ndarray]]:
    for step in _steps_to_try(scan):
        counts = _counted(scan.along, scan.unit, step)
        if (
            counts is None
            or np.mean(counts > 1) > MOST_GAPS
            or not _both_steps(scan.steps[counts == 1], scan.unit, step)
        ):
            continue
        if not _twice(step, scan.unit) or any(scan.says(word, step) for word in DISTANCES):
            yield step, counts


def _steps_to_try(scan: _Scan) -> Iterator[float]:
    yield from scan.said()
    width = min(10, len(scan.steps) // 2)
    middle = float(np.median(scan.along[width:] - scan.along[:-width])) / width
    yield from np.linspace(middle - scan.unit / width, middle + scan.unit / width, STEPS_TRIED)


def _counted(along: np.ndarray, unit: float, step: float) -> np.ndarray | None:
    """How many steps lie between neighbours (n-1,), as few as rounding allows; None where it does not explain every
    position, or the step is a multiple of the unit."""
    if step < unit or abs(step - unit * np.rint(step / unit)) * len(along) < unit:
        return None
    counts, number = [], 0
    low, high = along[0] - unit / 2, along[0] + unit / 2  # where the first slice may lie, by those so far
    for position in along[1:]:
        count = max(1, int(np.ceil((position - unit / 2 - high - WRITTEN_MM) / step)) - number)
        number += count
        first = position - number * step
        low, high = max(low, first - unit / 2), min(high, first + unit / 2)
        if low > high + WRITTEN_MM:
            return None
        counts.append(count)
    return np.array(counts)
