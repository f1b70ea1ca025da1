"""From slices as they lie to a regular, orthonormal grid."""

from __future__ import annotations

import math

import numpy as np

from ..events import CancelToken
from .geometry import Stack
from .pixels import AIR_HU

FINEST_STEP_MM = 1.0  # of a resampled grid: a third of the network's own distance, and bounded memory


def resample(
    stack: Stack, volume: np.ndarray, spacing: tuple[float, float], cancel: CancelToken
) -> tuple[np.ndarray, np.ndarray, float]:
    """Bring tilted, shifted or unevenly spaced slices onto one grid with the slices' own axes.

    volume: int16 HU [k, j, i]; spacing: (between columns, between rows) in mm. In each slice's plane the grid has the
    slice's own pixels, shifted bilinearly to a common corner and enlarged to hold every slice (outside: air); along
    the normal it keeps an even stack's distances, and else interpolates linearly at equal ones.
    Returns the new volume, the position (3,) of its first voxel in mm LPS, and its step in mm.
    """
    across = stack.offsets[:, :2]
    corner = across.min(axis=0)
    shifts = (across - corner) / spacing  # in columns, rows
    extra = np.ceil(shifts.max(axis=0) - 1e-6).astype(int)
    shape = (volume.shape[1] + extra[1], volume.shape[2] + extra[0])
    depths, step = _depths(stack)
    grid = np.empty((len(depths), *shape), np.int16)
    along = stack.offsets[:, 2]
    placed: dict[int, np.ndarray] = {}
    for k, depth in enumerate(depths):
        cancel.raise_if_cancelled()
        lower = min(int(np.searchsorted(along, depth, side="right")) - 1, len(along) - 2)
        placed = {n: placed[n] if n in placed else _place(volume[n], shifts[n], shape) for n in (lower, lower + 1)}
        weight = np.float32((depth - along[lower]) / (along[lower + 1] - along[lower]))
        mixed = placed[lower] * (1 - weight) + placed[lower + 1] * weight
        np.rint(mixed, out=mixed)
        grid[k] = mixed
    origin = stack.positions[0] + corner[0] * stack.row + corner[1] * stack.column
    return grid, origin, step


def _depths(stack: Stack) -> tuple[np.ndarray, float]:
    """Where the grid's slices lie along the normal (mm from the first), and their distance."""
    if stack.even:
        return stack.offsets[:, 2], stack.step
    length = stack.offsets[-1, 2]
    count = max(1, round(length / max(stack.steps.min(), FINEST_STEP_MM)))
    return np.linspace(0, length, count + 1), length / count


def _place(pixels: np.ndarray, shift: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Move a slice right and down by (columns, rows), fractions included, on an air background: float32 of `shape`."""
    (column, right), (row, down) = (_split(value) for value in shift)
    rows, columns = pixels.shape
    framed = np.full((rows + 2, columns + 2), AIR_HU, np.float32)
    framed[1:-1, 1:-1] = pixels
    moved = framed[1:, :] * (1 - down) + framed[:-1, :] * down if down else framed[1:, :]
    moved = moved[:, 1:] * (1 - right) + moved[:, :-1] * right if right else moved[:, 1:]
    canvas = np.full(shape, AIR_HU, np.float32)
    height, width = min(rows + 1, shape[0] - row), min(columns + 1, shape[1] - column)
    canvas[row : row + height, column : column + width] = moved[:height, :width]
    return canvas


def _split(value: float) -> tuple[int, np.float32]:
    """Whole and fractional part; a fraction under a thousandth counts as none."""
    whole = math.floor(value + 1e-3)
    fraction = value - whole
    return whole, np.float32(fraction if fraction > 1e-3 else 0)
