"""The grid that the network sees, and the way there and back along the image's own axes.

Everything here is in *canonical* order: arrays [z, y, x] with x towards the patient's left, y to the back and z to the
head, as closely as flipping and permuting the image's axes allows. Sides can't be swapped after that.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import permutations
from typing import TypeVar

import numpy as np

# Directions of x, y and z that canonical axes follow, in LPS.
AXES = {"LPS": (1, 1, 1), "RAS": (-1, -1, 1)}
PADDING_HU, METAL_HU = -1024, 3071  # beyond these, values mean "no measurement", not density
SLAB = 12  # output slices computed at a time: bounds memory, and fixes the order of sums for any thread count

Box = tuple[slice, slice, slice]  # (z, y, x)
Spacing = tuple[float, float, float]  # mm, (x, y, z)
Index = TypeVar("Index", float, np.ndarray)


def box_of(parts: Iterable[slice]) -> Box:
    z, y, x = parts
    return z, y, x


@dataclass(frozen=True)
class Canonical:
    """How an image's axes map to the closest patient axes.

    order: image axis (0 = i, 1 = j, 2 = k) along patient x, y, z; flip: whether it runs against the axis that x, y or z
    is to follow.
    """

    order: tuple[int, int, int]
    flip: tuple[bool, bool, bool]

    @classmethod
    def of(cls, affine: np.ndarray, axes: str = "LPS") -> Canonical:
        """affine: (4, 4), voxel (i, j, k, 1) to LPS mm; axes: "LPS", or "RAS" for x towards the right and y to the
        front, as other networks were trained."""
        directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
        order = max(permutations(range(3), 3), key=lambda p: sum(abs(directions[a, p[a]]) for a in range(3)))
        x, y, z = (bool(directions[a, order[a]] * AXES[axes][a] < 0) for a in range(3))
        return cls(order, (x, y, z))

    def view(self, array: np.ndarray) -> np.ndarray:
        """A view [z, y, x] of an image array [k, j, i]; writes go through."""
        turned = array.transpose([2 - self.order[a] for a in (2, 1, 0)])
        return turned[tuple(slice(None, None, -1 if self.flip[a] else None) for a in (2, 1, 0))]

    def affine(self, affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """The affine (4, 4) of canonical voxel (x, y, z, 1) to LPS mm. shape: the canonical [z, y, x]."""
        canonical = np.eye(4)
        canonical[:3, :3] = affine[:3, list(self.order)]
        canonical[:3, 3] = affine[:3, 3]
        for a in range(3):
            if self.flip[a]:
                canonical[:3, 3] += canonical[:3, a] * (shape[2 - a] - 1)
                canonical[:3, a] *= -1
        return canonical

    def steps(self, affine: np.ndarray) -> np.ndarray:
        """(3, 3), its rows the mm (LPS) of a step along z, y and x of the canonical image. affine: as for `of`."""
        return self.affine(affine, (1, 1, 1))[:3, 2::-1].T


def tilt_degrees(canonical_affine: np.ndarray) -> float:
    """Largest angle between an axis of the canonical image and its patient axis."""
    directions = canonical_affine[:3, :3] / np.linalg.norm(canonical_affine[:3, :3], axis=0)
    return float(np.degrees(np.arccos(np.clip(np.diag(directions).min(), -1, 1))))


@dataclass(frozen=True)
class Axis:
    """One axis of a fine and a coarse grid with a common centre. Positions are fine indices."""

    fine: int
    coarse: int
    step: float  # fine voxels per coarse voxel
    width: float  # of the mean that a coarse voxel takes, in fine voxels; 0: none

    @classmethod
    def matching(cls, fine: int, fine_mm: float, coarse_mm: float, resolution_mm: float = 0.0) -> Axis:
        """resolution_mm: the voxels of the CTs that the network knows; finer ones are averaged to look like them."""
        step = coarse_mm / fine_mm
        width = max(_width_against_aliases(step), _width_of_larger_voxels(resolution_mm / fine_mm))
        return cls(fine, max(1, round(fine / step)), step, width)

    def position(self, coarse_index: Index) -> Index:
        return (self.fine - 1) / 2 + (coarse_index - (self.coarse - 1) / 2) * self.step

    def index(self, fine_position: Index) -> Index:
        return (self.coarse - 1) / 2 + (fine_position - (self.fine - 1) / 2) / self.step

    def down(self, coarse: slice) -> tuple[np.ndarray, slice]:
        """Weights (coarse, fine) of the image's mean over each coarse voxel, and the fine range that they read.

        The image between voxels is their linear interpolation, beyond its ends the edge goes on. A coarse voxel is the
        mean of it over `width` fine voxels.
        """
        centres = self.position(np.arange(coarse.start, coarse.stop))
        parts = 8 * int(np.ceil(self.width)) or 1
        points = centres[:, None] + self.width * ((np.arange(parts) + 0.5) / parts - 0.5)
        points = np.clip(points, 0, self.fine - 1)
        read = slice(int(np.floor(points.min())), int(np.ceil(points.max())) + 1)
        weights = [_hats(point, read).mean(axis=0) for point in points]
        return np.array(weights, np.float32), read

    def up(self, fine: slice, coarse: slice) -> np.ndarray:
        """Weights (fine, coarse) of linear interpolation from the coarse range to the fine one, edges going on."""
        points = self.index(np.arange(fine.start, fine.stop))
        return _hats(np.clip(points, coarse.start, coarse.stop - 1), coarse).astype(np.float32)

    def fine_range(self, coarse: slice) -> slice:
        """The fine voxels between the centres of the first and last coarse one,
        to the image's end where that is the end."""
        first = 0 if coarse.start == 0 else int(np.ceil(self.position(coarse.start)))
        last = self.fine if coarse.stop == self.coarse else int(np.floor(self.position(coarse.stop - 1))) + 1
        return slice(max(0, first), min(self.fine, last))

    def coarse_range(self, fine: slice, margin: int) -> slice:
        """The coarse voxels over a fine range, `margin` more at both ends."""
        first = int(np.floor(self.index(fine.start))) - margin
        last = int(np.ceil(self.index(fine.stop - 1))) + margin + 1
        return slice(max(0, min(first, self.coarse - 1)), max(1, min(last, self.coarse)))


def _width_against_aliases(step: float) -> float:
    """sqrt(2 (s^2 - 1)) for coarse voxels s fine ones wide: with the linear interpolation (variance 1/6) that makes
    s^2/6, the variance of a triangle two coarse voxels wide."""
    return float(np.sqrt(2 * max(0.0, step**2 - 1)))


def _width_of_larger_voxels(times: float) -> float:
    """sqrt(3 (r^2 - 1)) for voxels r times as wide: what a voxel sees (variance 1/12) and the interpolation between
    voxels (1/6) make 1/4 for the fine ones; with the mean r^2/4, as if the scanner had had the larger ones."""
    return float(np.sqrt(3 * max(0.0, times**2 - 1)))


def _hats(points: np.ndarray, samples: slice) -> np.ndarray:
    """Weights (points, samples) of linear interpolation between whole-numbered samples."""
    return np.maximum(0.0, 1.0 - np.abs(np.arange(samples.start, samples.stop) - points[:, None]))


class AlignedGrid:
    """A network grid along the canonical axes of the image: resampled one axis after the other, exactly."""

    def __init__(
        self, canonical: np.ndarray, spacing: np.ndarray, spacing_mm: Spacing, threads: int,
        resolution_mm: Spacing = (0.0, 0.0, 0.0),
    ):  # fmt: skip
        """canonical: the image [z, y, x]; spacing, spacing_mm and resolution_mm: voxels of the image, of the network's
        grid, and of the CTs that the network knows (0: any), all (x, y, z)."""
        self.canonical = canonical
        self.threads = threads
        self.axes = [
            Axis.matching(canonical.shape[2 - a], spacing[a], spacing_mm[a], resolution_mm[a]) for a in (2, 1, 0)
        ]
        self.shape = tuple(axis.coarse for axis in self.axes)

    def box(self, image_box: Box, margin: int) -> Box:
        """The network box over an image box."""
        return box_of(axis.coarse_range(part, margin) for axis, part in zip(self.axes, image_box))

    def sample(self, box: Box) -> np.ndarray:
        """HU in a box of the network grid, float32 [z, y, x]."""
        (rows, read_rows), (columns, read_columns) = self.axes[1].down(box[1]), self.axes[2].down(box[2])
        columns = np.ascontiguousarray(columns.T)
        out = np.empty([part.stop - part.start for part in box], np.float32)

        def slab(start: int) -> None:
            stop = min(start + SLAB, len(out))
            weights, read = self.axes[0].down(slice(box[0].start + start, box[0].start + stop))
            planes = np.empty((read.stop - read.start, *out.shape[1:]), np.float32)
            for plane, index in zip(planes, range(read.start, read.stop)):
                values = self.canonical[index, read_rows, read_columns]
                hounsfield = np.clip(values, PADDING_HU, METAL_HU).astype(np.float32, order="C")
                np.matmul(rows @ hounsfield, columns, out=plane)
            np.matmul(weights, planes.reshape(len(planes), -1), out=out[start:stop].reshape(stop - start, -1))

        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(slab, range(0, len(out), SLAB)))
        return out

    def restore(self, probability: np.ndarray, box: Box) -> tuple[np.ndarray, Box]:
        """Where the linearly interpolated probability of a network box is above 0.5: uint8 0/1, and its image box."""
        image_box = box_of(axis.fine_range(part) for axis, part in zip(self.axes, box))
        along_z, rows, columns = (axis.up(fine, part) for axis, fine, part in zip(self.axes, image_box, box))
        columns = np.ascontiguousarray(columns.T)
        mask = np.empty([part.stop - part.start for part in image_box], np.uint8)
        for weights, plane in zip(along_z, mask):
            near = np.flatnonzero(weights)
            between = np.tensordot(weights[near], probability[near], axes=1)
            np.greater(rows @ between @ columns, 0.5, out=plane, casting="unsafe")
        return mask, image_box
