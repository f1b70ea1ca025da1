"""From probabilities to organs: what of them is drawn, and with which edge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..grid import Box, box_of
from ..model import Organ
from .parts import bounds, parts_of_organ

SMALLEST_WHOLE_ML = 1.0  # smaller findings are specks where nothing cuts them: the smallest organ, an eye, has 6 ml


@dataclass(frozen=True)
class Component:
    """probability: float32 [z, y, x] of one organ, 0 outside its parts; box: where it lies in the network grid."""

    probability: np.ndarray
    box: Box


def component_of(organ: Organ, probability: np.ndarray, box: Box, steps: np.ndarray) -> Component | None:
    """The organ's parts where the probability is above 0.5, with the voxels next to them; None if there are none.

    probability: float32 [z, y, x] in `box` of the network grid; steps: as for parts_of_organ.
    """
    parts = parts_of_organ(probability > 0.5, organ, steps)
    if parts is None:
        return None
    around = tuple(slice(max(0, part.start - 1), min(n, part.stop + 1)) for part, n in zip(bounds(parts), parts.shape))
    kept = np.where(_dilated(parts[around]), probability[around], np.float32(0))
    return Component(kept, box_of(slice(p.start + a.start, p.start + a.stop) for p, a in zip(box, around)))


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


def _dilated(mask: np.ndarray) -> np.ndarray:
    """With every voxel that touches the mask, corners included."""
    grown = mask.copy()
    for axis in range(3):
        along = np.moveaxis(grown, axis, 0)
        before = along.copy()
        along[1:] |= before[:-1]
        along[:-1] |= before[1:]
    return grown
