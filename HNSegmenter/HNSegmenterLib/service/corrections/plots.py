"""The report's plots as inline SVG: text and shapes, no script, nothing from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from html import escape

from .history import Entry, Figures, score
from .measuring import CORRECTED, Change

BLUE, ORANGE, GREY, BLACK, DARK = "#0072B2", "#D55E00", "#999999", "#222222", "#8a4b00"
ALL_OR_NOTHING = (Change.ADDED, Change.REMOVED)
SHADES = ("#cfe1f2", "#93c4e6", "#4a9bd1")  # of models, the latest darkest
WIDTH, LABEL, RIGHT = 860, 150, 24  # px: of a plot, of the names at its left, of what stays free at its right
BAR, GAP = 15, 12  # px: of one bar, between organs
# px: of one organ's plot over time, of its months, of what is free above it
HEIGHT, FOOT, TOP = 120, 22, 10
HEAD = 28  # px: of two lines of models' names
WINDOW = 10  # patients that the line is a mean of
LEAST_SPAN = timedelta(days=1)


def bars(groups: Sequence[Sequence[Figures]], colors: dict[str, str]) -> str:
    """How often each organ was corrected, a bar a model; the whisker is the 95 % interval."""
    parts, y, width = [], 4, WIDTH - LABEL - 90
    for group in groups:
        middle = y + len(group) * BAR / 2
        parts.append(_text(LABEL - 8, middle + 4, group[0].organ, "end"))
        for one in group:
            low, high = (LABEL + width * value for value in one.share.interval)
            parts.append(_rect(LABEL, y + 1, max(width * one.share.value, 1), BAR - 2, colors[one.model], _told(one)))
            parts.append(_line(low, y + BAR / 2, high, y + BAR / 2, BLACK))
            parts.append(
                _text(
                    high + 6,
                    y + BAR / 2 + 4,
                    f"{percent(one.share.value)} ({one.share.corrected}/{one.share.patients})",
                )
            )
            y += BAR
        y += GAP
    grid = [
        _line(LABEL + width * tick / 4, 0, LABEL + width * tick / 4, y, "#dddddd")
        + _text(LABEL + width * tick / 4, y + 12, f"{tick * 25} %", "middle")
        for tick in range(5)
    ]
    return _svg(y + FOOT, [*grid, *parts], "Share of patients in whom each organ was corrected")


def over_time(organ: str, entries: Sequence[Entry], begins: Sequence[tuple[datetime, str]], named: bool) -> str:
    """Dice of drawn and approved contours of one organ: a dot a patient, the line a mean of WINDOW patients.

    Where an organ was added or removed, the dot lies on the floor. begins: when each model was first seen; named:
    whether their names are written.
    """
    points = [
        (entry.time, value, one.change)
        for entry in entries
        for one in entry.organs
        if one.organ == organ and (value := score(one)) is not None
    ]
    axes = _Axes(entries, [value for _, value, change in points if change not in ALL_OR_NOTHING], HEAD if named else 0)
    parts = [_text(LABEL - 48, axes.y((1 + axes.low) / 2) + 4, organ, "end")]
    for value in (axes.low, (1 + axes.low) / 2, 1.0):
        parts.append(_line(LABEL, axes.y(value), WIDTH - RIGHT, axes.y(value), "#dddddd"))
        parts.append(_text(LABEL - 8, axes.y(value) + 4, f"{value:.2f}", "end"))
    parts += [_text(axes.x(when), axes.height - 6, f"{when:%b %Y}", "middle") for when in axes.months()]
    for number, (when, model) in enumerate(begins):
        x, late = axes.x(when), axes.x(when) > WIDTH * 0.8
        parts.append(_line(x, axes.top - 6, x, axes.floor, DARK, "4 3") if number else "")
        if named:
            beside, anchor = (x - 4, "end") if late else (x + 4, "start")
            parts.append(_text(beside, HEAD / 2 * (1 + number % 2) - 3, model, anchor, DARK))
    for when, value, change in points:
        color = ORANGE if change in ALL_OR_NOTHING else BLUE if change in CORRECTED else GREY
        centre = f'cx="{axes.x(when):.1f}" cy="{axes.y(value):.1f}"'
        parts.append(f'<circle {centre} r="2.6" fill="{color}" fill-opacity="0.65"/>')
    drawn = [(when, value) for when, value, change in points if change not in ALL_OR_NOTHING]
    means = zip(drawn, _means([value for _, value in drawn]), strict=True)
    track = [f"{axes.x(when):.1f},{axes.y(mean):.1f}" for (when, _), mean in means if mean is not None]
    if len(track) > 1:
        parts.append(f'<polyline points="{" ".join(track)}" fill="none" stroke="{BLACK}" stroke-width="1.6"/>')
    return _svg(axes.height, parts, f"Dice of {organ} over time")


class _Axes:
    """Time from left to right, Dice from `low`, a tenth below the least that is shown, up to 1."""

    def __init__(self, entries: Sequence[Entry], values: Sequence[float], head: float):
        self.low = math.floor(10 * min([0.9, *values])) / 10
        self.height, self.top, self.floor = HEIGHT + head, TOP + head, HEIGHT + head - FOOT
        self._start = entries[0].time
        self._end = max(entries[-1].time, self._start + LEAST_SPAN)

    def x(self, time: datetime) -> float:
        return LABEL + (WIDTH - LABEL - RIGHT) * ((time - self._start) / (self._end - self._start))

    def y(self, value: float) -> float:
        return self.floor - (self.floor - self.top) * (max(value, self.low) - self.low) / (1 - self.low)

    def months(self) -> list[datetime]:
        """Firsts of months, about six of them; the beginning, where none is in between."""
        firsts, year, month = [], self._start.year, self._start.month
        while (first := self._start.replace(year=year, month=month, day=1, hour=0, minute=0, second=0)) <= self._end:
            if first >= self._start:
                firsts.append(first)
            year, month = (year + 1, 1) if month == 12 else (year, month + 1)
        return firsts[:: max(1, len(firsts) // 6)] or [self._start]


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def legend(colors: dict[str, str]) -> str:
    """The models' colours."""
    return " ".join(f'<span class="key"><i style="background:{color}"></i>{escape(model)}</span>'
                    for model, color in colors.items())  # fmt: skip


def colors_of(models: Sequence[str]) -> dict[str, str]:
    """The latest models, as many as there are shades, the last one darkest."""
    shown = models[-len(SHADES) :]
    return dict(zip(shown, SHADES[len(SHADES) - len(shown) :], strict=True))


def _means(values: Sequence[float]) -> list[float | None]:
    """Of the last WINDOW values up to each, from the first full window on."""
    return [sum(values[n - WINDOW + 1 : n + 1]) / WINDOW if n >= WINDOW - 1 else None for n in range(len(values))]


def _told(one: Figures) -> str:
    return f"{one.organ}, {one.model}: corrected in {one.share.corrected} of {one.share.patients} patients"


def _svg(height: float, parts: Sequence[str], title: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" width="100%" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg>"
    )


def _rect(x: float, y: float, width: float, height: float, color: str, told: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{color}">'
        f"<title>{escape(told)}</title></rect>"
    )


def _line(x1: float, y1: float, x2: float, y2: float, color: str, dashes: str = "none") -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}" stroke-dasharray="{dashes}"/>'
    )


def _text(x: float, y: float, text: str, anchor: str = "start", color: str = BLACK) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}">{escape(text)}</text>'
