"""From a labelmap to closed contours on the CT's own slices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from ...errors import RuntimeFault
from ...grids import bounding_box, same_grid
from .overlaps import own_areas
from .planes import normal, to_patient, to_pixels
from .polygons import keyhole, without_collinear, without_repeats

if TYPE_CHECKING:
    from ...dicom import CtSlice, PlanningCT

LONGEST_VALUE = 65_534  # bytes; Explicit VR counts the length of a DS value in 16 bits, and it must be even
DECIMALS = 2  # 0.01 mm


@dataclass
class SliceContour:
    """A closed outline in one CT slice: points (n, 3), mm, LPS, rounded to 0.01 mm, the first not repeated."""

    sop_instance_uid: str
    points: np.ndarray


def trace(ct: PlanningCT, labelmap: sitk.Image) -> list[SliceContour]:
    """Contours of a binary labelmap (on `ct.image`'s grid) in the planes of the real slices, in slice order.

    Where the grid is the stack of slices itself, a contour encloses exactly the centres of the labelled pixels. A
    resampled grid is read in each slice's plane instead (linear, over 0.5). Every island is a contour of its own, a
    hole is joined by a keyhole. Raises RuntimeFault if the labelmap is on another grid.
    """
    return [
        SliceContour(slice_.sop_instance_uid, points)
        for slice_, mask, corner in slice_masks(ct, labelmap)
        for points in _outlines(slice_, mask, corner)
    ]


def slice_masks(ct: PlanningCT, labelmap: sitk.Image) -> Masks:
    """What `trace` outlines: for each real slice that meets the labelmap, its pixels cut to a box.

    Yields (slice, bool [row, column], the (column, row) of the cut's first pixel in the slice). Raises RuntimeFault if
    the labelmap is on another grid.
    """
    _require_same_grid(ct.image, labelmap)
    box = bounding_box(sitk.GetArrayViewFromImage(labelmap))
    if box is None:
        return iter(())
    return _sampled_masks(ct, labelmap, box) if ct.resampled else _stacked_masks(ct, labelmap, box)


def encode(points: np.ndarray) -> bytes:
    """(n, 3) points as a Contour Data value: decimal strings, shortest form, padded to an even length."""
    text = "\\".join([_decimal(value) for value in np.round(points, DECIMALS).ravel().tolist()])
    return (text + " " * (len(text) % 2)).encode("ascii")


def _decimal(value: float) -> str:
    text = f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def rounded(points: np.ndarray) -> np.ndarray | None:
    """Points as the file will hold them, without repeats;
    None if fewer than three are left, or they surround nothing."""
    points = without_repeats(np.round(points, DECIMALS) + 0.0)  # + 0.0: no minus zero
    if len(points) < 3 or _area_3d(points) < 10.0 ** (-2 * DECIMALS):
        return None
    return points


def _area_3d(points: np.ndarray) -> float:
    """Area in mm2 of a planar polygon: half the length of its area vector or,
    where its loops cancel each other, their sum."""
    shifted = points - points[0]
    area = 0.5 * float(np.linalg.norm(np.cross(shifted, np.roll(shifted, -1, axis=0)).sum(axis=0)))
    if area > 10.0 ** (-2 * DECIMALS):
        return area
    axes = np.linalg.svd(shifted - shifted.mean(axis=0), full_matrices=False)[2]
    return float(own_areas([shifted @ axes[:2].T])[0][0])


def _require_same_grid(image: sitk.Image, labelmap: sitk.Image) -> None:
    if not same_grid(image, labelmap):
        raise RuntimeFault("A labelmap is not on the CT's grid: its contours would lie in the wrong place.")


Masks = Iterator[tuple["CtSlice", np.ndarray, tuple[int, int]]]  # slice, mask [row, column], its (column, row) there


def _stacked_masks(ct: PlanningCT, labelmap: sitk.Image, box: tuple[slice, slice, slice]) -> Masks:
    """The labelmap's own slices, cut to the organ's box."""
    k, j, i = box
    array = sitk.GetArrayViewFromImage(labelmap)
    for index in range(k.start, k.stop):
        yield ct.slices[index], array[index, j, i] != 0, (i.start, j.start)


def _sampled_masks(ct: PlanningCT, labelmap: sitk.Image, box: tuple[slice, slice, slice]) -> Masks:
    """The labelmap read in the plane of each real slice that may meet the organ's box."""
    margin = 1
    low = [max(0, s.start - margin) for s in reversed(box)]
    high = [min(n, s.stop + margin) for s, n in zip(reversed(box), labelmap.GetSize(), strict=True)]
    organ = sitk.Cast(labelmap[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] != 0, sitk.sitkFloat32)
    ends = [(-1.0, float(n)) for n in organ.GetSize()]
    corners = np.array([organ.TransformContinuousIndexToPhysicalPoint(corner) for corner in product(*ends)])
    for slice_ in ct.slices:
        window = _window(slice_, corners)
        if window is not None:
            (column, row), (width, height) = window
            plane = _plane_image(slice_, column, row, width, height)
            sampled = sitk.Resample(organ, plane, sitk.Transform(3, sitk.sitkIdentity), sitk.sitkLinear, 0.0)
            yield slice_, sitk.GetArrayViewFromImage(sampled)[0] > 0.5, (column, row)


def _window(slice_: CtSlice, corners: np.ndarray) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """(column, row), (width, height) of the slice's pixels near a box of (8, 3) corners; None if it passes by."""
    pixels, distance = to_pixels(slice_, corners)
    if distance.min() > 0 or distance.max() < 0:
        return None
    start = np.maximum(np.floor(pixels.min(axis=0)), 0).astype(int)
    stop = np.minimum(np.ceil(pixels.max(axis=0)) + 1, [slice_.columns, slice_.rows]).astype(int)
    if (stop <= start).any():
        return None
    return (int(start[0]), int(start[1])), (int(stop[0] - start[0]), int(stop[1] - start[1]))


def _plane_image(slice_: CtSlice, column: int, row: int, width: int, height: int) -> sitk.Image:
    """A window of the slice as the geometry of an image one voxel deep."""
    plane = sitk.Image([width, height, 1], sitk.sitkUInt8)
    plane.SetSpacing([slice_.column_spacing, slice_.row_spacing, 1.0])
    plane.SetOrigin(to_patient(slice_, np.array([[column, row]], float))[0].tolist())
    axes = np.column_stack([slice_.row_cosines, slice_.column_cosines, normal(slice_)])
    plane.SetDirection(axes.ravel().tolist())
    return plane


def _outlines(slice_: CtSlice, mask: np.ndarray, corner: tuple[int, int]) -> list[np.ndarray]:
    """Rounded patient coordinates of the outlines of a mask whose first pixel is `corner` (column, row)."""
    found = []
    for ring in _rings(mask):
        points = rounded(to_patient(slice_, ring + corner))
        if points is None:
            continue
        if len(encode(points)) > LONGEST_VALUE:
            return [outline for part, offset in _halves(mask, corner) for outline in _outlines(slice_, part, offset)]
        found.append(points)
    return found


def _halves(mask: np.ndarray, corner: tuple[int, int]) -> list[tuple[np.ndarray, tuple[int, int]]]:
    """Cut across the longer side: side by side the two outlines still enclose the same pixels."""
    column, row = corner
    if mask.shape[0] >= mask.shape[1]:
        cut = mask.shape[0] // 2
        return [(mask[:cut], corner), (mask[cut:], (column, row + cut))]
    cut = mask.shape[1] // 2
    return [(mask[:, :cut], corner), (mask[:, cut:], (column + cut, row))]


def _rings(mask: np.ndarray) -> Iterator[np.ndarray]:
    """Marching squares half-way between pixel centres: (n, 2) outlines (column, row), holes joined by keyholes.

    Pixels that touch only by a corner become separate outlines, so that none touches itself.
    """
    if not mask.any():
        return
    field = np.pad(mask.astype(float), 1)
    import contourpy  # when it is drawn: Slicer's Python has it only after the first use

    generator = contourpy.contour_generator(z=field, name="serial", fill_type=contourpy.FillType.OuterOffset)
    filled: Any = generator.filled(0.5, 1.5)  # its type leaves open which fill_type was asked for
    polygons, offsets = filled
    for points, starts in zip(polygons, offsets, strict=True):
        rings = [without_collinear(points[a : b - 1] - 1) for a, b in pairwise(starts)]
        yield keyhole(rings[0], rings[1:])
