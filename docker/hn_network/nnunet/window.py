"""The sliding window: where the network's patches lie, and how much each counts."""

from __future__ import annotations

from itertools import product
from math import ceil

import numpy as np

from ..grid import Box, box_of
from .resample import Shape

BLEND_WIDTH = 1 / 8  # standard deviation of a patch's weight, as a share of its size
TRUNCATED = 4.0  # standard deviations, where scipy cuts its Gaussian off
HIGHEST = 10.0  # weight of the middle before it is rounded to half precision


def padded_shape(shape: Shape, patch: Shape) -> Shape:
    z, y, x = (max(n, least) for n, least in zip(shape, patch))
    return z, y, x


def image_box(shape: Shape, patch: Shape) -> Box:
    """Where an image lies in the middle of one that is as large as a patch at least."""
    starts = ((padded - n) // 2 for padded, n in zip(padded_shape(shape, patch), shape))
    return box_of(slice(start, start + n) for start, n in zip(starts, shape))


def boxes(shape: Shape, patch: Shape, step: float, axis: int) -> list[Box]:
    """The patches over an image, those that come first along `axis` first; shape: at least that of the patch."""
    along = [_starts(n, size, step) for n, size in zip(shape, patch)]
    found = [box_of(slice(start, start + size) for start, size in zip(at, patch)) for at in product(*along)]
    return sorted(found, key=lambda box: box[axis].start)


def _starts(n: int, size: int, step: float) -> list[int]:
    count = ceil((n - size) / (size * step)) + 1
    if count == 1:
        return [0]
    apart = (n - size) / (count - 1)
    return [round(apart * number) for number in range(count)]


def gaussian(patch: Shape) -> np.ndarray:
    """Weights of a patch's voxels, float32 with the values of float16, none 0: as nnU-Net rounds them."""
    z, y, x = (_kernel(n) for n in patch)
    weights = z[:, None, None] * y[:, None] * x
    rounded = (weights / (weights.max() / HIGHEST)).astype(np.float16)
    rounded[rounded == 0] = rounded[rounded > 0].min()
    return rounded.astype(np.float32)


def _kernel(n: int) -> np.ndarray:
    """One axis of a single voxel in the middle, blurred."""
    deviation = n * BLEND_WIDTH
    away = np.arange(n) - n // 2
    weights = np.exp(-0.5 * (away / deviation) ** 2)
    weights[np.abs(away) > int(TRUNCATED * deviation + 0.5)] = 0
    return weights
