"""Cutting the network's input into overlapping tiles, and blending what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import ceil, prod

import numpy as np

from ..grid import Box, box_of

MOST_VOXELS = 2_400_000  # of one tile: the network then takes about 0.5 GB
MOST_TILES_PER_AXIS = 40
BLEND_WIDTH = 1 / 8  # standard deviation of a tile's weight, as a share of its size
LOWEST_WEIGHT = 1e-3


@dataclass(frozen=True)
class Plan:
    """size: (z, y, x) of every tile, divisible by the network's multiple; boxes: where each lies, within the input."""

    size: tuple[int, int, int]
    boxes: tuple[Box, ...]


def plan(shape: tuple[int, int, int], patch: tuple[int, int, int], multiple: int, overlap: float) -> Plan:
    """The fewest voxels that cover `shape` with equal tiles of at most MOST_VOXELS, none smaller than `patch`.

    Tiles overlap by `overlap` of their size at least. A tile may be larger than the input: it is padded.
    """
    choices = [_axis_choices(n, least, multiple, overlap) for n, least in zip(shape, patch)]
    least = [axis[-1] for axis in choices]
    fitting = [c for c in product(*choices) if prod(size for size, _ in c) <= MOST_VOXELS] or [tuple(least)]
    best = min(fitting, key=lambda c: prod(size * count for size, count in c))
    starts = (_starts(n, size, count) for n, (size, count) in zip(shape, best))
    z, y, x = (size for size, _ in best)
    boxes = (box_of(slice(a, min(a + s, n)) for a, s, n in zip(start, (z, y, x), shape)) for start in product(*starts))
    return Plan((z, y, x), tuple(boxes))


def _axis_choices(n: int, least: int, multiple: int, overlap: float) -> list[tuple[int, int]]:
    """(size, count) of tiles along one axis, fewest and largest first."""
    choices: list[tuple[int, int]] = []
    for count in range(1, MOST_TILES_PER_AXIS + 1):
        size = ceil(n / (count - (count - 1) * overlap) / multiple) * multiple
        if choices and (size < least or size == choices[-1][0]):
            break
        choices.append((size, count))
    return choices


def _starts(n: int, size: int, count: int) -> list[int]:
    if count == 1:
        return [0]
    return [round(i * (n - size) / (count - 1)) for i in range(count)]


class Blend:
    """Sums tiles of probabilities (channels, z, y, x) weighted by a Gaussian around each tile's centre."""

    def __init__(self, channels: int, shape: tuple[int, int, int], tile: tuple[int, int, int]):
        self.sum = np.zeros((channels, *shape), np.float32)
        self.weight = np.zeros(shape, np.float32)
        z, y, x = (_gaussian(n) for n in tile)
        self.gaussian = z[:, None, None] * y[:, None] * x

    def add(self, probability: np.ndarray, box: Box) -> None:
        """probability: (channels, z, y, x) as large as the box."""
        weight = self.gaussian[tuple(slice(0, n) for n in probability.shape[1:])]
        self.weight[box] += weight
        for total, channel in zip(self.sum, probability):
            total[box] += weight * channel

    def result(self) -> np.ndarray:
        """(channels, z, y, x); 0 where there was no tile."""
        np.maximum(self.weight, np.finfo(np.float32).tiny, out=self.weight)
        self.sum /= self.weight
        return self.sum


def _gaussian(n: int) -> np.ndarray:
    away = (np.arange(n) - (n - 1) / 2) / (n * BLEND_WIDTH)
    return np.maximum(np.exp(-0.5 * away**2), LOWEST_WEIGHT).astype(np.float32)
