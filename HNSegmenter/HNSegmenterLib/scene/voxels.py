"""A segment's voxels: out of a segmentation, into one, and their fingerprint."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import slicer
import vtk
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from ..grids import bounding_box
from .grid import Grid, as_matrix, image_to_world


@dataclass(frozen=True)
class Mask:
    """A segment cut to its box: voxels uint8 0/1 [k, j, i]; corner: the first voxel's (i, j, k) in the grid."""

    voxels: np.ndarray
    corner: tuple[int, int, int]

    @property
    def count(self) -> int:
        return int(np.count_nonzero(self.voxels))

    def fingerprint(self) -> str:
        """SHA-256, hex, of the box's place and shape and the voxels in it."""
        digest = hashlib.sha256(repr((*self.corner, *self.voxels.shape)).encode())
        digest.update(np.packbits(self.voxels).tobytes())
        return digest.hexdigest()

    def full(self, size: tuple[int, int, int]) -> np.ndarray:
        """uint8 [k, j, i] of the whole grid of that (i, j, k) size."""
        whole = np.zeros(size[::-1], np.uint8)
        i, j, k = self.corner
        depth, rows, columns = self.voxels.shape
        whole[k : k + depth, j : j + rows, i : i + columns] = self.voxels
        return whole


def mask_of_array(array: np.ndarray) -> Mask | None:
    """From 0/1 (or any) voxels [k, j, i] of a whole grid; None if all are 0."""
    return _cropped(array, (0, 0, 0))


def segment_mask(node, segment_id: str, grid: Grid, frame) -> Mask | None:
    """The segment on a grid; None if no voxel of it is there.

    frame: the transform node in whose coordinates the grid lies, None for the world (volumes.frame_of). Where the
    segment lies on the grid's lattice its voxels come as they are, else by nearest neighbour.
    """
    image = slicer.vtkOrientedImageData()
    if not node.GetSegmentation().ContainsRepresentation(
        slicer.vtkSegmentationConverter.GetBinaryLabelmapRepresentationName()
    ):
        node.CreateBinaryLabelmapRepresentation()
    if not node.GetBinaryLabelmapRepresentation(segment_id, image) or image.IsEmpty():
        return None
    if node.GetParentTransformNode() is not frame:
        between = vtk.vtkGeneralTransform()
        slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(node.GetParentTransformNode(), frame, between)
        slicer.vtkOrientedImageDataResample.TransformOrientedImage(image, between)
    shift = grid.shift_of(image_to_world(image))
    if shift is None:
        reference, resampled = grid.oriented_image(), slicer.vtkOrientedImageData()
        slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
            image, reference, resampled, False
        )
        image, shift = resampled, np.zeros(3, int)
    start = np.array(image.GetExtent()[::2]) + shift
    voxels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
    low = np.maximum(-start, 0)
    high = np.minimum(np.array(grid.size) - start, image.GetDimensions())
    if (high <= low).any():
        return None
    inside = tuple(slice(a, b) for a, b in zip(low[::-1], high[::-1], strict=True))
    return _cropped(voxels[inside], tuple((start + low).tolist()))


def _cropped(array: np.ndarray, corner: tuple[int, int, int]) -> Mask | None:
    box = bounding_box(array)
    if box is None:
        return None
    k, j, i = box
    voxels = np.ascontiguousarray(array[box] != 0).view(np.uint8)
    return Mask(voxels, (corner[0] + i.start, corner[1] + j.start, corner[2] + k.start))


def layers(masks: dict[str, Mask]) -> list[dict[str, Mask]]:
    """Group masks so that those of a group do not overlap: each group can share one labelmap."""
    groups: list[dict[str, Mask]] = []
    for name, mask in masks.items():
        home = next((group for group in groups if not any(_overlap(mask, other) for other in group.values())), None)
        if home is None:
            groups.append(home := {})
        home[name] = mask
    return groups


def shared_image(group: dict[str, Mask], grid: Grid):
    """One vtkOrientedImageData (unsigned char) around all masks of a group: the n-th mask has label n, from 1."""
    low = np.min([mask.corner for mask in group.values()], axis=0)
    high = np.max([np.array(mask.corner) + mask.voxels.shape[::-1] for mask in group.values()], axis=0)
    merged = np.zeros((high - low)[::-1], np.uint8)
    for label, mask in enumerate(group.values(), start=1):
        i, j, k = np.array(mask.corner) - low
        depth, rows, columns = mask.voxels.shape
        box = merged[k : k + depth, j : j + rows, i : i + columns]
        box[mask.voxels != 0] = label
    image = slicer.vtkOrientedImageData()
    image.SetExtent(*(int(v) for pair in zip(low, high - 1, strict=True) for v in pair))
    image.GetPointData().SetScalars(numpy_to_vtk(merged.ravel(), deep=True, array_type=vtk.VTK_UNSIGNED_CHAR))
    image.SetImageToWorldMatrix(as_matrix(grid.ijk_to_ras))
    return image


def _overlap(one: Mask, other: Mask) -> bool:
    low = np.maximum(one.corner, other.corner)
    high = np.minimum(np.array(one.corner) + one.voxels.shape[::-1], np.array(other.corner) + other.voxels.shape[::-1])
    if (high <= low).any():
        return False
    return bool((_part(one, low, high) & _part(other, low, high)).any())


def _part(mask: Mask, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    start, stop = (low - mask.corner)[::-1], (high - mask.corner)[::-1]
    return mask.voxels[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
