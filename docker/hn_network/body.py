"""Where the patient is, on a coarse copy of the image."""

from __future__ import annotations

import cc3d
import numpy as np

from .errors import UnusableInput
from .grid import Box, box_of

BODY_HU = -300
BODY_STEP_MM = 4.0  # the body is looked for in every voxel that is about so far from the last
SMALLEST_BODY_ML = 500.0  # a child's head is larger


def body_box(view: np.ndarray, affine: np.ndarray) -> Box:
    """The box [z, y, x] of the image around its largest connected tissue,
    and around what a gap across the patient parts from it. Raises UnusableInput without a body."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)[::-1]
    steps = [max(1, int(BODY_STEP_MM / mm)) for mm in spacing]
    tissue = view[:: steps[0], :: steps[1], :: steps[2]] > BODY_HU
    parts = cc3d.statistics(cc3d.connected_components(np.ascontiguousarray(tissue), connectivity=6))
    volumes_ml = parts["voxel_counts"] * float(np.prod(spacing * steps)) / 1000
    volumes_ml[0] = 0
    by_size = np.argsort(-volumes_ml, kind="stable")
    largest_ml = volumes_ml[by_size[0]]
    if largest_ml < SMALLEST_BODY_ML:
        raise UnusableInput(
            f"The largest connected tissue in the image is {largest_ml:.0f} ml, "
            "there is no head in it: give the whole CT."
        )
    kept: list[Box] = []
    for part in by_size[volumes_ml[by_size] >= SMALLEST_BODY_ML]:
        box = parts["bounding_boxes"][part]
        if all(2 * _overlap(box[0], other[0]) < box[0].stop - box[0].start for other in kept):
            kept.append(box)
    return box_of(
        slice(
            max(0, (min(box[a].start for box in kept) - 1) * steps[a]),
            min(view.shape[a], max(box[a].stop for box in kept) * steps[a] + 1),
        )
        for a in range(3)
    )


def _overlap(one: slice, other: slice) -> int:
    return max(0, min(one.stop, other.stop) - max(one.start, other.start))
