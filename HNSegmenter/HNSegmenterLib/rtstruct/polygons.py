"""Polygons as (n, 2) arrays of points, not closed: the last point joins the first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def signed_area(ring: np.ndarray) -> float:
    """Shoelace formula; positive if counter-clockwise in a right-handed frame."""
    x, y = (ring - ring[0]).T  # near zero, so that large coordinates cost no digits
    return 0.5 * float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))


def without_repeats(ring: np.ndarray) -> np.ndarray:
    """Drop every point that equals the one before it (the first: the last); any number of columns."""
    return ring[np.any(ring != np.roll(ring, 1, axis=0), axis=1)]


def without_collinear(ring: np.ndarray) -> np.ndarray:
    """Drop every point that lies exactly between its neighbours: the outline stays the same.

    A point where the outline turns back on itself (the end of a keyhole) is kept.
    """
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    forward = np.einsum("ij,ij->i", before, after) > 0
    return ring[~((cross == 0) & forward)]


def contains(ring: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(n,) bool: which of the (n, 2) points are inside by the even-odd rule."""
    ax, ay = ring.T[:, :, None]
    bx, by = np.roll(ring, -1, axis=0).T[:, :, None]
    px, py = points.T[:, None, :]
    spans = (ay <= py) != (by <= py)
    with np.errstate(divide="ignore", invalid="ignore"):
        left_of_edge = px < ax + (py - ay) / (by - ay) * (bx - ax)
    return np.count_nonzero(spans & left_of_edge, axis=0) % 2 == 1


def keyhole(outer: np.ndarray, holes: Sequence[np.ndarray]) -> np.ndarray:
    """One closed outline that runs to each hole and back on the same line, as CLOSED_PLANAR wants it.

    The holes must lie inside `outer` without touching it. Each is reached along its row from its leftmost point to
    the nearest outline on the left; holes are taken from the left, so that this never meets one still to come.
    """
    winding = np.sign(signed_area(outer))
    for hole in sorted(holes, key=lambda ring: float(ring[:, 0].min())):
        turned = hole if np.sign(signed_area(hole)) == -winding else hole[::-1]
        outer = _bridge(outer, np.roll(turned, -int(np.argmin(turned[:, 0])), axis=0))
    return outer


def _bridge(ring: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Join `hole` (its first point the leftmost) to the nearest edge of `ring` on its left."""
    x, y = hole[0]
    a, b = ring, np.roll(ring, -1, axis=0)
    edges = np.flatnonzero((a[:, 1] <= y) != (b[:, 1] <= y))
    share = (y - a[edges, 1]) / (b[edges, 1] - a[edges, 1])
    meets = a[edges, 0] + share * (b[edges, 0] - a[edges, 0])
    on_left = meets <= x
    if not on_left.any():
        raise ValueError("a hole lies outside its outline")
    nearest = int(np.argmax(np.where(on_left, meets, -np.inf)))
    anchor = [[meets[nearest], y]]
    cut = edges[nearest] + 1
    return without_repeats(np.concatenate([ring[:cut], anchor, hole, hole[:1], anchor, ring[cut:]]))


def nest(rings: Sequence[np.ndarray]) -> list[tuple[int, list[int]]]:
    """Group rings of one plane: (index of an outline, indices of the holes directly in it).

    A ring inside an odd number of others is a hole (even-odd rule); rings may touch but not cross.
    """
    lows, highs = np.array([ring.min(axis=0) for ring in rings]), np.array([ring.max(axis=0) for ring in rings])
    boxed = (lows[:, None] >= lows).all(axis=2) & (highs[:, None] <= highs).all(axis=2)
    np.fill_diagonal(boxed, False)
    inside = [[int(j) for j in np.flatnonzero(row) if _lies_in(rings[i], rings[j])] for i, row in enumerate(boxed)]
    groups: dict[int, list[int]] = {i: [] for i in range(len(rings)) if len(inside[i]) % 2 == 0}
    for i, around in enumerate(inside):
        if i not in groups:
            groups[max(around, key=lambda j: len(inside[j]))].append(i)
    return list(groups.items())


def _lies_in(ring: np.ndarray, other: np.ndarray) -> bool:
    """Most of the points, since single ones may sit on the other's edge."""
    return bool(contains(other, ring).mean() > 0.5)
