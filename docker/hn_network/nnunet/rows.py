"""Blending the patches' logits, without ever holding all of them.

Patches come in rows along one axis. What lies before the next row of patches gets nothing more, so that only as much as
one patch is deep is held: classes x patch x the two other axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ..errors import DamagedModel
from ..grid import Box, box_of
from .resample import Shape

MOST_FLOAT32_BYTES = 1 << 30  # above this, sums are kept in float16, as nnU-Net always does
LARGEST = 60_000.0  # what float16 holds


def longest_axis(shape: Shape, patch: Shape) -> int:
    """The axis along which the fewest logits have to be held."""
    return max(range(3), key=lambda axis: shape[axis] / (patch[axis] + 1))


class Rows:
    """Weighted means of logits (channels, z, y, x) where patches in work lie."""

    def __init__(self, channels: int, shape: Shape, boxes: Sequence[Box], weights: np.ndarray, axis: int, threads: int):
        """shape: of the whole image; boxes: of all patches, as they will be added; weights: of a patch's voxels."""
        depth = min(weights.shape[axis] + 1, shape[axis])
        held = [depth if a == axis else n for a, n in enumerate(shape)]
        dtype = np.float32 if channels * np.prod(held) * 4 <= MOST_FLOAT32_BYTES else np.float16
        self.logits = np.zeros((channels, *held), dtype)
        self.first = 0  # where the part that is held begins, along the axis
        self.axis, self.threads, self.weights = axis, threads, weights
        self.total = np.zeros(shape, np.float32)
        for box in boxes:
            self.total[box] += weights

    def add(self, patch: Sequence[np.ndarray], box: Box, share: float) -> None:
        """patch: for each channel float32 [z, y, x]; share: of the patch's weight that it brings, its mirrored ones
        bring the others. Raises DamagedModel for logits that are no numbers."""
        weights = self.weights / self.total[box] * np.float32(share)
        here = (slice(None), *self._held(box))
        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(lambda pair: _add(pair[0], pair[1], weights), zip(self.logits[here], patch)))

    def finished(self, stop: int) -> np.ndarray:
        """Logits that are held, up to `stop` along the axis: no patch still to come lies before it."""
        part = [slice(None)] * 4
        part[self.axis + 1] = slice(0, stop - self.first)
        return self.logits[tuple(part)]

    def forget(self, start: int) -> None:
        """From now on hold what begins at `start`."""
        along = np.moveaxis(self.logits, self.axis + 1, 1)
        kept = along.shape[1] - (start - self.first)
        for channel in along:
            channel[:kept] = channel[start - self.first :].copy()
            channel[kept:] = 0
        self.first = start

    def _held(self, box: Box) -> Box:
        return box_of(
            slice(part.start - self.first, part.stop - self.first) if a == self.axis else part
            for a, part in enumerate(box)
        )


def _add(total: np.ndarray, logits: np.ndarray, weights: np.ndarray) -> None:
    product = logits * weights
    product += total
    if not (product.max() < LARGEST and product.min() > -LARGEST):
        raise DamagedModel("The network's answer holds values that are no numbers: install the model again.")
    total[...] = product
