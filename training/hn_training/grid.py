"""From a CT's own voxels to the network's grid and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .config import three

AIR_HU = -1024
WINDOW_HU = (-400.0, 600.0)
BODY_HU = -300
"""Anything denser than this is body when the volume is cropped."""
MARGIN_MM = 16.0


@dataclass(frozen=True)
class Mapping:
    """Where a cropped network volume lies in its CT: one affine map an axis, all (z, y, x).

    Network index = (CT index) * scale + shift. Both volumes share their centre before the crop.
    """

    ct_shape: tuple[int, int, int]
    shape: tuple[int, int, int]
    scale: tuple[float, float, float]
    shift: tuple[float, float, float]

    def to_network(self, axis: int) -> np.ndarray:
        """Position of each CT index on the network grid."""
        return np.arange(self.ct_shape[axis]) * self.scale[axis] + self.shift[axis]

    def to_ct(self, axis: int) -> np.ndarray:
        """Position of each network index in the CT."""
        return (np.arange(self.shape[axis]) - self.shift[axis]) / self.scale[axis]


def body_mapping(image: np.ndarray, spacing: Sequence[float], target: Sequence[float]) -> Mapping:
    """The network grid over the body in `image` (z, y, x) HU; spacings in mm, x, y, z."""
    body = image > BODY_HU
    scale: list[float] = []
    shift: list[float] = []
    shape: list[int] = []
    for axis, (own, new) in enumerate(zip(reversed(spacing), reversed(target))):
        ratio, size = own / new, math.ceil(image.shape[axis] * own / new)
        centred = (size - 1) / 2 - ratio * (image.shape[axis] - 1) / 2
        inside = np.flatnonzero(body.any(axis=tuple(a for a in range(3) if a != axis)))
        first, last = (inside[0], inside[-1]) if len(inside) else (0, image.shape[axis] - 1)
        start = max(0, math.floor(first * ratio + centred - MARGIN_MM / new))
        stop = min(size, math.ceil(last * ratio + centred + MARGIN_MM / new) + 1)
        scale.append(ratio)
        shift.append(centred - start)
        shape.append(stop - start)
    return Mapping(image.shape, three(shape), three(scale), three(shift))


def sample(volume: np.ndarray, positions: Sequence[np.ndarray]) -> np.ndarray:
    """Linear interpolation of (…, z, y, x) at the outer product of `positions` (z, y, x); edges repeat."""
    out = volume.astype(np.float32)
    for axis, wanted in zip((-3, -2, -1), positions):
        at = np.clip(wanted, 0, out.shape[axis] - 1)
        low = np.minimum(at.astype(int), max(out.shape[axis] - 2, 0))
        high = np.minimum(low + 1, out.shape[axis] - 1)
        weight = (at - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in (-3, -2, -1)])
        out = np.take(out, low, axis) * (1 - weight) + np.take(out, high, axis) * weight
    return out


def coarsened(volume: np.ndarray, spacing: Sequence[float], resolution: Sequence[float]) -> np.ndarray:
    """`volume` (z, y, x) as if it had been scanned with voxels of `resolution` mm, x, y, z, on its own voxels.

    Along axes whose voxels are smaller, the mean over sqrt(3 (r^2 - 1)) voxels, r the ratio of both: what a voxel sees
    and the interpolation between voxels then have the variance r^2 / 12 + r^2 / 6. Segmenting does the same.
    """
    out = volume
    for axis, (own, wanted) in enumerate(zip(reversed(spacing), reversed(resolution))):
        if wanted <= own:
            continue
        width, size = math.sqrt(3 * ((wanted / own) ** 2 - 1)), volume.shape[axis]
        parts = 8 * math.ceil(width)
        offsets = width * ((np.arange(parts) + 0.5) / parts - 0.5)
        at = np.clip(np.arange(size)[:, None, None] + offsets[:, None], 0, size - 1)
        weights = np.maximum(0, 1 - np.abs(np.arange(size) - at)).mean(1).astype(np.float32)
        out = np.moveaxis(np.tensordot(weights, out.astype(np.float32), (1, axis)), 0, axis)
    return out


def image_to_network(
    image: np.ndarray, mapping: Mapping, spacing: Sequence[float], resolution: Sequence[float]
) -> np.ndarray:
    """CT (z, y, x) to the network grid, int16 HU; see `coarsened`."""
    positions = [mapping.to_ct(axis) for axis in range(3)]
    return np.rint(sample(coarsened(image, spacing, resolution), positions)).astype(np.int16)


def window(hu):
    """HU (array or tensor) to the network's input in [-1, 1]; blanked void equals air."""
    low, high = WINDOW_HU
    return (hu.clip(low, high) - (low + high) / 2) / ((high - low) / 2)
