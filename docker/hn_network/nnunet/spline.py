"""Interpolation along one axis as a matrix: what scipy's `zoom` (grid_mode, mode "nearest"), and so skimage's `resize`
(mode "edge"), computes voxel by voxel, is linear and separable."""

from __future__ import annotations

import numpy as np

PADDING = 12  # samples by which scipy continues an edge before it filters


def positions(out: int, size: int) -> np.ndarray:
    """Where the centres of `out` equal parts of an axis lie, as indices of its `size` samples."""
    return (size / out) * (np.arange(out) + 0.5) - 0.5


def matrix(out: int, size: int, order: int) -> np.ndarray:
    """Weights (out, size), float64, of the spline of this order (0, 1 or 3) through `size` samples at `out` places."""
    if out == size:
        return np.eye(size)
    places = positions(out, size)
    if order == 3:
        return _cubic(places + PADDING, size + 2 * PADDING) @ np.pad(np.eye(size), ((PADDING, PADDING), (0, 0)), "edge")
    low, share = neighbours(places, size, order)
    weights = np.zeros((out, size))
    weights[np.arange(out), low] = 1 - share
    weights[np.arange(out), np.minimum(low + 1, size - 1)] += share
    return weights


def neighbours(places: np.ndarray, size: int, order: int) -> tuple[np.ndarray, np.ndarray]:
    """For order 0 or 1: the lower of the two samples beside each place, and the share of the upper one."""
    places = np.clip(places, 0, size - 1)
    if order == 0:
        return np.floor(places + 0.5).astype(int), np.zeros(len(places))
    low = np.minimum(np.floor(places).astype(int), max(size - 2, 0))
    return low, places - low


def _cubic(places: np.ndarray, size: int) -> np.ndarray:
    """Weights (places, size) of the cubic B-spline that passes through the samples: basis times inverse prefilter."""
    knots = np.arange(size)
    away = np.abs(places[:, None] - knots)
    basis = np.where(away < 1, 2 / 3 - away**2 + away**3 / 2, np.maximum(2 - away, 0) ** 3 / 6)
    samples = (4 * np.eye(size) + np.eye(size, k=1) + np.eye(size, k=-1)) / 6
    samples[0, 0] = samples[-1, -1] = 5 / 6  # reflected at the ends
    return np.linalg.solve(samples.T, basis.T).T
