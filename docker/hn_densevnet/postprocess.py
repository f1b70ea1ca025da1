"""From probabilities to labelmaps: one connected organ each, restored to the image's own grid."""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import numpy as np

from .grid import Box

SMALLEST_PART_ML = 0.1  # smaller findings are specks, also where the scan's end cuts an organ
SMALLEST_WHOLE_ML = 1.0  # and so are these where nothing cuts them: the smallest organ, an eye, has 6 ml


@dataclass(frozen=True)
class Component:
    """probability: float32 [z, y, x] of one organ, 0 outside its largest part; box: where it lies in the network grid."""

    probability: np.ndarray
    box: Box


def largest_component(probability: np.ndarray, box: Box, voxel_ml: float) -> Component | None:
    """The organ's largest part where the probability is above 0.5, with the voxels next to it; None if there is none.

    probability: float32 [z, y, x] in `box` of the network grid; voxel_ml: volume of one voxel there.
    """
    organ = largest_part(probability > 0.5, voxel_ml)
    if organ is None:
        return None
    around = tuple(
        slice(max(0, part.start - 1), min(n, part.stop + 1)) for part, n in zip(_bounds(organ), organ.shape)
    )
    kept = np.where(_dilated(organ[around]), probability[around], np.float32(0))
    return Component(kept, tuple(slice(p.start + a.start, p.start + a.stop) for p, a in zip(box, around)))


def largest_part(mask: np.ndarray, voxel_ml: float) -> np.ndarray | None:
    """The largest connected part (bool [z, y, x]) of such a mask; None if that is a speck or there is none."""
    if not mask.any():
        return None
    found = _bounds(mask)
    labels = cc3d.connected_components(np.ascontiguousarray(mask[found]), connectivity=26)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest = int(sizes.argmax())
    if sizes[largest] * voxel_ml < SMALLEST_PART_ML:
        return None
    part = np.zeros(mask.shape, bool)
    part[found] = labels == largest
    return part


def is_speck(mask: np.ndarray, box: Box, shape: tuple[int, ...], voxel_ml: float) -> bool:
    """Whether an organ lies within the image, not cut by its faces, and is too small to be one.

    mask: uint8 0/1 [z, y, x] in `box` of an image of `shape`; voxel_ml: volume of one of its voxels.
    """
    if np.count_nonzero(mask) * voxel_ml >= SMALLEST_WHOLE_ML:
        return False
    faces = [np.moveaxis(mask, axis, 0) for axis in range(3)]
    return not any(
        (part.start == 0 and face[0].any()) or (part.stop == n and face[-1].any())
        for face, part, n in zip(faces, box, shape)
    )


def _bounds(mask: np.ndarray) -> Box:
    found = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {a}))) for a in range(3)]
    return tuple(slice(int(f[0]), int(f[-1]) + 1) for f in found)


def _dilated(mask: np.ndarray) -> np.ndarray:
    """With every voxel that touches the mask, corners included."""
    grown = mask.copy()
    for axis in range(3):
        along = np.moveaxis(grown, axis, 0)
        before = along.copy()
        along[1:] |= before[:-1]
        along[:-1] |= before[1:]
    return grown
