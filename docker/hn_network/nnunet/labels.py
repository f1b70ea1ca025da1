"""From logits at the network's spacing to labels of the CT's voxels.

Between the network's voxels the logits are interpolated linearly, and the largest wins; or, for regions, those above 0.
To interpolate every class to every voxel would take longer than the network. A block is therefore looked at first:

- A class that is the largest at all voxels of a block is so between them too, whatever the weights: they are above 0
  and sum to 1.
- A class that is below the mean of some others at all voxels of a block is below it between them too, and therefore
  below the largest of them. With the block's winners as those others, few classes are left to be interpolated.

Both are exact, not estimates; test_nnunet_labels.py compares them with the exhaustive way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product

import numpy as np

from ..grid import Box, box_of
from .spline import neighbours, positions

BLOCK_COARSE, BLOCK_FINE = 16, 32  # voxels of a block along an axis at most, at the network's spacing and at the CT's


@dataclass(frozen=True)
class Axis:
    """One axis: of each fine voxel the lower of the two coarse ones beside it, and the upper one's share."""

    coarse: int
    low: np.ndarray
    share: np.ndarray

    @classmethod
    def of(cls, fine: int, coarse: int, order: int) -> Axis:
        places = np.arange(fine, dtype=float) if fine == coarse else positions(fine, coarse)
        return cls(coarse, *neighbours(places, coarse, order))

    def blocks(self, start: int, stop: int) -> Iterable[tuple[slice, slice]]:
        """(coarse, fine) parts: fine voxels whose lower neighbour is in start..stop, and the coarse ones they need."""
        per_voxel = len(self.low) / self.coarse
        size = int(np.clip(BLOCK_FINE / per_voxel, 1, BLOCK_COARSE))
        for first in range(start, stop, size):
            last = min(first + size, stop)
            fine = slice(*map(int, np.searchsorted(self.low, (first, last))))
            if fine.start < fine.stop:
                yield slice(first, min(last + 1, self.coarse)), fine

    def weights(self, coarse: slice, fine: slice) -> np.ndarray:
        """(fine, coarse), float32."""
        weights = np.zeros((fine.stop - fine.start, coarse.stop - coarse.start), np.float32)
        rows, low, share = np.arange(len(weights)), self.low[fine] - coarse.start, self.share[fine]
        weights[rows, low] = 1 - share
        weights[rows, np.minimum(low + 1, weights.shape[1] - 1)] += share
        return weights


class Labels:
    """The label of every voxel, the number of the largest channel."""

    def __init__(self, voxels: np.ndarray):
        """voxels: uint8 or uint16 [z, y, x], 0, written to; may be a view."""
        self.voxels = voxels

    def draw(self, logits: np.ndarray, weights: Sequence[np.ndarray], box: Box) -> list[int]:
        """Draw a block; the channels found in it. logits: float32 (channels, d, h, w); weights, box: along each axis to
        the fine voxels, and where these lie."""
        highest = logits.max(axis=0)
        winners = np.flatnonzero((logits >= highest).any(axis=(1, 2, 3)))
        if len(winners) > 1:
            rivals = np.flatnonzero((logits >= logits[winners].mean(axis=0)).any(axis=(1, 2, 3)))
            largest = _interpolated(logits[rivals], weights).argmax(axis=0)
            self.voxels[box] = rivals[largest]
            winners = rivals[np.bincount(largest.ravel(), minlength=len(rivals)) > 0]
        else:
            self.voxels[box] = winners[0]
        return [int(channel) for channel in winners]

    def mask(self, channel: int, box: Box) -> np.ndarray:
        """bool, in a box."""
        return self.voxels[box] == channel


class Regions:
    """The regions that every voxel lies in, a bit for each."""

    def __init__(self, voxels: Sequence[np.ndarray], channels: Sequence[int]):
        """voxels: for every eight channels an array uint8 [z, y, x], 0, written to; may be views."""
        self.voxels, self.channels = voxels, list(channels)

    def draw(self, logits: np.ndarray, weights: Sequence[np.ndarray], box: Box) -> list[int]:
        """As for Labels; the logits are those of `channels`, in this order."""
        found = []
        for number, logit in enumerate(logits):
            if not (logit > 0).any():
                continue
            inside = (logit > 0).all() or _interpolated(logit[None], weights)[0] > 0
            self.voxels[number // 8][box] |= np.uint8(1 << number % 8) * np.uint8(inside)
            found.append(self.channels[number])
        return found

    def mask(self, channel: int, box: Box) -> np.ndarray:
        """bool, in a box."""
        number = self.channels.index(channel)
        return self.voxels[number // 8][box] & np.uint8(1 << number % 8) > 0


class Drawing:
    """Draws rows of logits as they are finished, and remembers in which box each channel was found."""

    def __init__(self, target: Labels | Regions, axes: Sequence[Axis], along: int, threads: int):
        """along: the axis of the rows."""
        self.target, self.axes, self.along, self.threads = target, axes, along, threads
        self.boxes: dict[int, Box] = {}
        self.drawn = 0  # coarse voxels whose way to their upper neighbour is drawn, along the axis

    def rows(self, logits: np.ndarray, first: int) -> int:
        """Draw what lies between coarse voxels. Returns the first row that is needed once more.

        logits: (channels, z, y, x), along the axis from `first` on, which is not after the row that was needed.
        """
        stop = first + logits.shape[self.along + 1]
        until = stop if stop == self.axes[self.along].coarse else stop - 1
        ranges = [(0, axis.coarse) for axis in self.axes]
        ranges[self.along] = (self.drawn, until)
        parts = [axis.blocks(*part) for axis, part in zip(self.axes, ranges)]

        def draw(block: tuple[tuple[slice, slice], ...]) -> tuple[Box, list[int]]:
            held = [
                slice(coarse.start - first, coarse.stop - first) if a == self.along else coarse
                for a, (coarse, _) in enumerate(block)
            ]
            weights = [axis.weights(*part) for axis, part in zip(self.axes, block)]
            box = box_of(fine for _, fine in block)
            return box, self.target.draw(logits[(slice(None), *held)].astype(np.float32), weights, box)

        with ThreadPoolExecutor(self.threads) as pool:
            for box, channels in pool.map(draw, product(*parts)):
                for channel in channels:
                    self.boxes[channel] = _around(self.boxes.get(channel, box), box)
        self.drawn = until
        return until


def _interpolated(logits: np.ndarray, weights: Sequence[np.ndarray]) -> np.ndarray:
    """logits: (channels, d, h, w); weights: (fine, coarse) for each axis."""
    z, y, x = weights
    planes = np.matmul(y, logits @ x.T)
    return np.matmul(z, planes.reshape(*planes.shape[:2], -1)).reshape(len(logits), len(z), len(y), len(x))


def _around(one: Box, other: Box) -> Box:
    return box_of(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, other))
