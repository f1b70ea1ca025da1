"""Polygons as (n, 2) arrays of points, not closed: the last point joins the first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

TOUCHING = 0.02  # in the points' unit, mm of others' outlines: two that are rounded to 0.01 touch


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


def keyhole(outer: np.ndarray, holes: Sequence[np.ndarray]) -> np.ndarray:
    """One closed outline that runs to each hole and back on the same line, as CLOSED_PLANAR wants it.

    The holes must lie inside `outer`, which they may touch. Each is reached along its row from its leftmost point to
    the nearest outline on the left; holes are taken from the left, so that this never meets one still to come. Raises
    ValueError for a hole outside.
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
    on_left = meets <= x + TOUCHING
    if on_left.any():
        nearest = int(np.argmax(np.where(on_left, meets, -np.inf)))
        edge, anchor = int(edges[nearest]), np.array([meets[nearest], y])
    else:  # at the ring's lowest or highest point, where no edge crosses the row
        edge, anchor = _nearest(ring, hole[0])
        if np.hypot(*(anchor - hole[0])) > TOUCHING:
            raise ValueError("a hole lies outside its outline")
    return without_repeats(np.concatenate([ring[: edge + 1], [anchor], hole, hole[:1], [anchor], ring[edge + 1 :]]))


def _nearest(ring: np.ndarray, point: np.ndarray) -> tuple[int, np.ndarray]:
    """The edge of a ring that is nearest to a point, and where on it."""
    along = np.roll(ring, -1, axis=0) - ring
    length = np.maximum(np.einsum("ij,ij->i", along, along), np.finfo(float).tiny)
    share = np.clip(np.einsum("ij,ij->i", point - ring, along) / length, 0.0, 1.0)
    feet = ring + share[:, None] * along
    edge = int(np.argmin(np.hypot(*(feet - point).T)))
    return edge, feet[edge]
