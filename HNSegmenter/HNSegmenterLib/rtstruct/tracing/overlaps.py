"""How closed outlines of one plane lie to themselves and to each other, by the areas that they share.

Rings are (n, 2) arrays of points in mm, not closed. Each plane is cut into strips at the height of every point and
crossing: within a strip the outlines follow each other from left to right without crossing, so that areas are exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

NEGLIGIBLE_MM = 0.02  # two outlines, each rounded to 0.01 mm, may overlap by a strip of that width where they touch
_STEP_MM = 1e-4  # points are taken to that, as whole numbers, so that heights compare exactly
_SAME_PLACE = 10  # steps: outlines that change places by less are not cut at their crossing
_MOST_CUTS = 50  # rounds of that; each cuts where neighbours cross


class Crossing(Exception):
    """first, second: indices of two rings that share area although neither lies inside the other."""

    def __init__(self, first: int, second: int):
        super().__init__(f"rings {first} and {second} cross")
        self.first, self.second = first, second


def negligible(ring: np.ndarray) -> float:
    """The area in mm2 by which its outline is not known: rounding, all along it."""
    return NEGLIGIBLE_MM * float(np.hypot(*(np.roll(ring, -1, axis=0) - ring).T).sum())


def own_areas(rings: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """mm2 that each ring surrounds, and of that what it surrounds twice (four times, ...); (n,) each.

    The second is empty to readers that fill by the even-odd rule, and filled to those of the nonzero rule.
    """
    areas, planes, windings = _strips([_edges(ring, plane, 0) for plane, ring in enumerate(rings)], 1)
    times = np.abs(windings[:, 0])
    surrounded, twice = (
        np.bincount(planes, areas * which, len(rings)) for which in (times > 0, (times > 0) & (times % 2 == 0))
    )
    return surrounded, twice


def arrange(rings: Sequence[np.ndarray], filled: Sequence[float]) -> tuple[list[tuple[int, list[int]]], list[int]]:
    """Group rings of one plane: (index of an outline, indices of the holes directly in it), and the indices of repeats.

    filled: own_areas. A ring inside an odd number of others is a hole (even-odd rule). Rings may touch.
        Raises Crossing.
    """
    inside, repeats = _inside(rings, filled)
    kept = [i for i in range(len(rings)) if i not in repeats]
    around = {i: [int(j) for j in np.flatnonzero(inside[i]) if j not in repeats] for i in kept}
    groups: dict[int, list[int]] = {i: [] for i in kept if len(around[i]) % 2 == 0}
    for i in kept:
        if i not in groups:
            groups[max(around[i], key=lambda j: len(around[j]))].append(i)
    return list(groups.items()), sorted(repeats)


def _inside(rings: Sequence[np.ndarray], filled: Sequence[float]) -> tuple[np.ndarray, set[int]]:
    """bool [i, j]: ring i lies in ring j; and the rings that surround the same as an earlier one. Raises Crossing."""
    inside, repeats = np.zeros((len(rings), len(rings)), bool), set()
    allowed = [negligible(ring) for ring in rings]
    pairs = _neighbours(rings)
    for (i, j), common in zip(pairs, _common_areas(rings, pairs), strict=True):
        least = min(allowed[i], allowed[j])
        inside[i, j], inside[j, i] = (common > filled[n] / 2 and filled[n] - common <= least for n in (i, j))
        if inside[i, j] and inside[j, i]:
            repeats.add(j)
        elif not inside[i, j] and not inside[j, i] and common > least:
            raise Crossing(i, j)
    return inside, repeats


def _neighbours(rings: Sequence[np.ndarray]) -> list[tuple[int, int]]:
    """Pairs whose boxes share area; the first index is the smaller."""
    lows, highs = np.array([ring.min(axis=0) for ring in rings]), np.array([ring.max(axis=0) for ring in rings])
    shared = (np.minimum(highs[:, None], highs) - np.maximum(lows[:, None], lows) > _STEP_MM).all(axis=2)
    return [(int(i), int(j)) for i, j in np.argwhere(np.triu(shared, 1))]


def _common_areas(rings: Sequence[np.ndarray], pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """mm2 that both rings of each pair surround."""
    edges = []
    for plane, pair in enumerate(pairs):
        ys = [rings[i][:, 1] for i in pair]
        rows = max(y.min() for y in ys), min(y.max() for y in ys)
        edges += [_edges(rings[i], plane, column, rows) for column, i in enumerate(pair)]
    areas, planes, windings = _strips(edges, 2)
    return np.bincount(planes, areas * (windings != 0).all(axis=1), len(pairs))


def _edges(ring: np.ndarray, plane: int, column: int, rows: tuple[float, float] = (-np.inf, np.inf)) -> np.ndarray:
    """(m, 9): x, y of the lower end and of the upper, 1 upward or -1 downward, the rows that count, plane and column.

    In steps. Edges that are level, or outside these rows, are left out.
    """
    a = np.rint(ring / _STEP_MM)
    b = np.roll(a, -1, axis=0)
    upward = a[:, 1] < b[:, 1]
    low, high = np.where(upward[:, None], a, b), np.where(upward[:, None], b, a)
    start, end = np.maximum(low[:, 1], np.rint(rows[0] / _STEP_MM)), np.minimum(high[:, 1], np.rint(rows[1] / _STEP_MM))
    direction = np.where(upward, 1.0, -1.0)
    kept = start < end
    where = np.broadcast_to([plane, column], (len(a), 2))
    return np.column_stack([low, high, direction, start, end, where])[kept]


def _strips(edges: Iterable[np.ndarray], columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pieces of strips between one edge and the next on its right:
    area mm2 (m,), plane (m,), and windings (m, columns)."""
    table = np.concatenate([np.empty((0, 9)), *edges])
    if not len(table):
        return np.empty(0), np.empty(0, int), np.empty((0, columns), int)
    plane, column = table[:, 7].astype(int), table[:, 8].astype(int)
    table[:, [1, 3, 5, 6]] += (plane * (np.ptp(table[:, [1, 3]]) + 1))[
        :, None
    ]  # one above the other: no strip is in two
    low_x, low_y, high_x, high_y, direction, start, end = table[:, :7].T
    levels = np.unique(table[:, 5:7])
    for _ in range(_MOST_CUTS):
        first, last = np.searchsorted(levels, start), np.searchsorted(levels, end)
        edge = np.repeat(np.arange(len(table)), last - first)
        strip = np.arange(len(edge)) - np.repeat(np.cumsum(last - first) - last, last - first)
        shares = ((levels[strip + up] - low_y[edge]) / (high_y - low_y)[edge] for up in (0, 1))
        below, above = (low_x[edge] + share * (high_x - low_x)[edge] for share in shares)
        order = np.lexsort((below + above, strip))
        edge, strip, below, above = edge[order], strip[order], below[order], above[order]
        together = strip[1:] == strip[:-1]
        lower, upper = np.where(together, np.diff(below), 0.0), np.where(together, np.diff(above), 0.0)
        cross = np.flatnonzero(np.minimum(lower, upper) < -_SAME_PLACE)
        bottom, top = levels[strip[cross]], levels[strip[cross] + 1]
        cuts = np.union1d(levels, bottom + lower[cross] / (lower[cross] - upper[cross]) * (top - bottom))
        if len(cuts) == len(levels):
            break
        levels = cuts
    heights = levels[strip + 1] - levels[strip]
    areas = np.append(np.maximum(lower + upper, 0.0) / 2, 0.0) * heights * _STEP_MM**2
    windings = np.cumsum(direction[edge, None] * (column[edge, None] == np.arange(columns)), axis=0)
    return areas, plane[edge], np.rint(windings).astype(int)
