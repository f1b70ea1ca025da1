"""Make the sample patient's file of the template (step 2 of 2, docs/sample.md).

    python -m tools.sample.make_sample population.npz

No random number is used. Writes sample_patient.npz beside the library's sample_volume(), with

- hu: int16 [k, j, i], 2 x 2 x 2.5 mm, multiples of 4 HU;
- labels: uint8 [k, j, i], 1 x 1 x 2.5 mm over the same box, values as in volume.ORGANS;
- start: (row, column) of hu's first voxel in the planning CT of 512 x 512; corner_mm: x, y, z of that CT's first voxel.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from HNSegmenterLib.sample.volume import ORGANS, SIZE, TEMPLATE

from .make_template import FINE, LEAST_PATIENTS
from .painting import GLOBE_MM, add_couch, eye_centre, paint_eye
from .tissue import AIR_HU, add_vertex, body_mask, restored

_BELOW_MM = 60  # room for the couch


def finish(population: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of sample_patient.npz from those of make_template."""
    axes = [np.arange(n) * s + o for n, s, o in zip(FINE.shape[::-1], FINE.spacing, FINE.origin)]
    hu, known = population["hu"].astype(np.float32), population["count"] >= LEAST_PATIENTS
    body = body_mask(hu)
    hu = restored(hu, body, population["histogram"], FINE.spacing[::-1])
    top = last_known(body, known, int(np.searchsorted(axes[2], 25)))
    hu = add_vertex(hu, axes, top)
    body = body_mask(hu)
    eyes = [eye_centre(hu, axes, near) for near in population["eyes"]]
    print("top", axes[2][top], "eyes", np.round(population["eyes"], 1).tolist(), "->", np.round(eyes, 1).tolist())
    for centre in eyes:
        hu = paint_eye(hu, axes, centre)

    more = int(_BELOW_MM / FINE.spacing[1])
    hu = np.pad(hu, ((0, 0), (0, more), (0, 0)), constant_values=AIR_HU)
    body = np.pad(body, ((0, 0), (0, more), (0, 0)))
    axes[1] = np.arange(hu.shape[1]) * FINE.spacing[1] + FINE.origin[1]
    hu = add_couch(hu, body, axes)

    corner = np.array([-SIZE / 2, -SIZE / 2, FINE.origin[2]])
    aside = round((corner[0] - FINE.origin[0]) / FINE.spacing[0])
    hu = hu[:, :, aside : aside + SIZE // 2]
    start = np.array([round(FINE.origin[1] - corner[1]), 0])
    return {
        "hu": (np.rint(hu / 4) * 4).astype(np.int16),
        "labels": _labels(population, eyes, hu.shape, aside),
        "start": start.astype(np.int16),
        "corner_mm": corner.astype(np.float32),
    }


def last_known(body: np.ndarray, known: np.ndarray, first: int) -> int:
    """The last slice from `first` up that is known all over the outline of the slice below it; scans end tilted."""
    for k in range(first, len(body) - 1):
        if not known[k + 1][body[k]].all():
            return k
    return len(body) - 1


def _labels(
    population: dict[str, np.ndarray], eyes: list[np.ndarray], shape: tuple[int, ...], aside: int
) -> np.ndarray:
    """Every organ as large as it is in the patients on average: the level at which its share has that volume."""
    labels = np.zeros((shape[0], 2 * shape[1], 2 * shape[2]), np.uint8)
    for value, name in enumerate(ORGANS[:4], 1):
        share = population[name]
        if name == "SpinalCord":
            share = share.copy()
            first, last = population["SpinalCord_ends"].astype(int)
            share[:first] = share[last + 1 :] = 0
        fine = _twice(share[:, :, aside : aside + shape[2]])
        level = np.sort(fine.ravel())[-int(fine.sum())]
        pieces, _ = ndimage.label(fine > level)
        largest = pieces == np.bincount(pieces.ravel())[1:].argmax() + 1
        part = labels[:, : fine.shape[1]]
        part[largest & (part == 0)] = value
    x, y = (
        np.arange(n) + o for n, o in ((labels.shape[2], FINE.origin[0] + 2 * aside), (labels.shape[1], FINE.origin[1]))
    )
    z = np.arange(shape[0]) * FINE.spacing[2] + FINE.origin[2]
    for value, centre in enumerate(eyes, 5):
        square = [(axis - c) ** 2 for axis, c in zip((x, y, z), centre)]
        ball = square[0][None, None, :] + square[1][None, :, None] + square[2][:, None, None] <= GLOBE_MM**2
        labels[ball] = value
    return labels


def _twice(share: np.ndarray) -> np.ndarray:
    """[k, j, i] with rows and columns at half the distance, as volume.py makes them:
    a sample, then one half-way to the next."""
    for axis in (1, 2):
        first = np.moveaxis(share, axis, 0)
        following = np.concatenate([first[1:], first[-1:]])
        share = np.moveaxis(np.stack([first, (first + following) / 2], 1).reshape(-1, *first.shape[1:]), 0, axis)
    return share


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("population", type=Path, metavar="population.npz")
    parser.add_argument("--output", type=Path, default=TEMPLATE, metavar="FILE.npz")
    args = parser.parse_args()
    with np.load(args.population) as population:
        arrays: dict[str, Any] = finish(dict(population))
    np.savez_compressed(args.output, **arrays)
    print(f"{args.output}: {args.output.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
