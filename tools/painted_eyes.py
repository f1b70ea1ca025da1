"""Real CTs whose eyeballs are warped to known shapes: a test of eyes with a known answer.

    python -m tools.painted_eyes SHAPES OUT --on CT EYES [--on CT EYES ...]

SHAPES: <scan>/label.nii.gz with 1 left and 2 right eye (expert contours that come without their CT). EYES: where a CT's
own eyes are, 1 left and 2 right, by any method. OUT: a data set for  evaluate --labels tcia --organs Eye_L,Eye_R.

Everything is real but the eyeball's outline: the CT is brought to 512 x 512, and around each of its eyes the space is
stretched radially so that its own contour comes to lie on the shape, fading out 10 mm beyond. On the outline a sclera
is painted inside and, behind the equator, orbital fat outside, so that the edge is where the label says, also where the
CT's own contour was a little off.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from HNSegmenterLib.evaluation.dataset import CT, LABELS, read_image
from HNSegmenterLib.evaluation.places import centre
from HNSegmenterLib.evaluation.variations.planning import cubic, in_plane, planning_grid
from HNSegmenterLib.evaluation.variations.scan import AIR_HU, like
from HNSegmenterLib.grids import bounding_box

EYES = (1, 2)  # left, right: the label values, in SHAPES and in EYES as well as in what is written
STEP_DEGREES, STEP_MM, LONGEST_MM = 6, 0.25, 22.0
FADE_MM = 10.0  # beyond the eyeball the CT is as it was
SCLERA_MM, SCLERA_HU = 1.2, 45
FAT_MM, FAT_HU = 1.5, -95
SOFT_HU = (-60, 130)  # what may become fat: neither fat already, nor bone


@dataclass(frozen=True)
class Outline:
    """mm from a centre to the surface, [polar angle from the head, azimuth from the left], every 6 degrees."""

    radius: np.ndarray

    @classmethod
    def of(cls, piece: np.ndarray, grid: sitk.Image, middle: np.ndarray) -> Outline:
        """Of a mask [k, j, i] without islands, seen from its middle (LPS mm)."""
        polar, azimuth = np.radians(np.arange(0, 181, STEP_DEGREES)), np.radians(np.arange(0, 360, STEP_DEGREES))
        sine = np.sin(polar)[:, None]
        up = np.broadcast_to(np.cos(polar)[:, None], (len(polar), len(azimuth)))
        ways = np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), up], -1)
        reach = np.arange(0, LONGEST_MM, STEP_MM)
        outside = _sample(piece, grid, middle + ways[..., None, :] * reach[:, None]) < 0.5
        outside[..., -1] = True
        return cls(reach[outside.argmax(axis=-1)] - STEP_MM / 2)

    def at(self, ways: np.ndarray) -> np.ndarray:
        """mm in the directions (..., 3), which need no unit length; bilinear."""
        length = np.maximum(np.linalg.norm(ways, axis=-1), 1e-9)
        row = np.degrees(np.arccos(np.clip(ways[..., 2] / length, -1, 1))) / STEP_DEGREES
        column = np.degrees(np.arctan2(ways[..., 1], ways[..., 0])) % 360 / STEP_DEGREES
        j, i = np.minimum(row.astype(int), len(self.radius) - 2), column.astype(int) % self.radius.shape[1]
        down, right, next_i = row - j, column - column.astype(int), (i + 1) % self.radius.shape[1]
        upper = self.radius[j, i] * (1 - right) + self.radius[j, next_i] * right
        lower = self.radius[j + 1, i] * (1 - right) + self.radius[j + 1, next_i] * right
        return upper * (1 - down) + lower * down


def largest(mask: np.ndarray) -> np.ndarray:
    """The largest piece of a mask."""
    box = bounding_box(mask)
    parts = sitk.RelabelComponent(sitk.ConnectedComponent(sitk.GetImageFromArray(mask[box].astype(np.uint8))))
    piece = np.zeros(mask.shape, bool)
    piece[box] = sitk.GetArrayFromImage(parts) == 1
    return piece


def paint(ct: sitk.Image, eyes: sitk.Image, shapes: sitk.Image) -> tuple[sitk.Image, sitk.Image]:
    """The CT at 512 x 512 (int16 HU) with its eyes in the given shapes, and their labels (uint8: 1 left, 2 right).

    eyes, shapes: labelmaps with 1 left and 2 right, each on a grid of its own; eyes lies on the CT.
    """
    grid = planning_grid(ct)
    hu = in_plane(sitk.GetArrayViewFromImage(ct), ct, grid, AIR_HU, cubic)
    labels = np.zeros(hu.shape, np.uint8)
    own, wanted = sitk.GetArrayViewFromImage(eyes), sitk.GetArrayViewFromImage(shapes)
    for value in EYES:
        eye, shape = largest(own == value), largest(wanted == value)
        middle = centre(eye, eyes)
        outlines = Outline.of(eye, eyes, middle), Outline.of(shape, shapes, centre(shape, shapes))
        _warp(hu, labels, value, grid, middle, *outlines)
    label_image = sitk.GetImageFromArray(labels)
    label_image.CopyInformation(grid)
    return like(hu, grid), label_image


def _warp(
    hu: np.ndarray, labels: np.ndarray, value: int, grid: sitk.Image, middle: np.ndarray, own: Outline, wanted: Outline
) -> None:
    """One eye, in place: `own` of the CT, around `middle`, becomes `wanted`."""
    reach = LONGEST_MM + FADE_MM
    ends = np.sort(
        [grid.TransformPhysicalPointToContinuousIndex((middle + sign * reach).tolist()) for sign in (-1, 1)], axis=0
    )
    low = np.maximum(np.floor(ends[0]), 0).astype(int)
    high = np.minimum(np.ceil(ends[1]) + 1, grid.GetSize()).astype(int)
    box = tuple(slice(a, b) for a, b in zip(low[::-1], high[::-1], strict=True))
    ways = _points(grid, low, high) - middle
    distance = np.linalg.norm(ways, axis=-1)
    new, old = wanted.at(ways), own.at(ways)
    far = np.maximum(new, old) + FADE_MM
    beyond = old + (distance - new) * (far - old) / (far - new)
    source = np.where(distance < new, distance * old / new, np.where(distance < far, beyond, distance))
    scale = source / np.maximum(distance, 1e-9)
    warped = _sample(hu, grid, middle + ways * scale[..., None])
    depth = new - distance  # mm inside
    warped = _blend(warped, SCLERA_HU, np.minimum(depth, SCLERA_MM - depth) + 0.5)
    behind = (ways[..., 1] > 0) & (warped > SOFT_HU[0]) & (warped < SOFT_HU[1])
    warped = np.where(behind, _blend(warped, FAT_HU, np.minimum(-depth, FAT_MM + depth) + 0.5), warped)
    hu[box] = warped
    labels[box][depth > 0] = value


def _blend(hu: np.ndarray, value: float, share: np.ndarray) -> np.ndarray:
    share = np.clip(share, 0, 1)
    return hu * (1 - share) + value * share


def _points(grid: sitk.Image, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """LPS mm [k, j, i, 3] of the voxels low..high (x, y, z; exclusive)."""
    k, j, i = np.meshgrid(*(np.arange(a, b) for a, b in zip(low[::-1], high[::-1], strict=True)), indexing="ij")
    steps = np.reshape(grid.GetDirection(), (3, 3)) * grid.GetSpacing()
    return np.stack([i, j, k], -1) @ steps.T + grid.GetOrigin()


def _sample(values: np.ndarray, grid: sitk.Image, points: np.ndarray) -> np.ndarray:
    """values [k, j, i] of a grid at points (..., 3) in LPS mm, trilinear; the nearest edge outside."""
    steps = np.reshape(grid.GetDirection(), (3, 3)) * grid.GetSpacing()
    index = ((points - grid.GetOrigin()) @ np.linalg.inv(steps).T)[..., ::-1]
    index = np.clip(index, 0, np.array(values.shape) - 1.0)
    first = np.minimum(index.astype(int), np.array(values.shape) - 2)
    share = index - first
    result = np.zeros(index.shape[:-1])
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(np.array(corner) == 1, share, 1 - share), axis=-1)
        k, j, i = np.moveaxis(first + corner, -1, 0)
        result += weight * values[k, j, i]
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tools.painted_eyes", description="Paints known eye shapes into real CTs."
    )
    parser.add_argument(
        "shapes", type=Path, metavar="SHAPES", help="folder of <scan>/label.nii.gz, 1 left and 2 right eye"
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="new folder for the data set")
    parser.add_argument(
        "--on", type=Path, nargs=2, action="append", required=True, metavar=("CT", "EYES"), help="CTs, taken in turn"
    )
    options = parser.parse_args()
    folders = sorted(path.parent for path in options.shapes.glob(f"*/{LABELS}"))
    bases = [[read_image(path) for path in pair] for pair in options.on]
    for number, folder in enumerate(folders):
        ct, eyes = bases[number % len(bases)]
        images = paint(ct, eyes, read_image(folder / LABELS))
        place = options.out / folder.name
        place.mkdir(parents=True)
        for image, name in zip(images, (CT, LABELS), strict=True):
            sitk.WriteImage(image, str(place / f".{name}"))
            (place / f".{name}").replace(place / name)
        print(place)


if __name__ == "__main__":
    main()
