"""A CT in the scene: whether it can be segmented, and the image that the network gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk
from vtkmodules.util.numpy_support import vtk_to_numpy

from ..dicom.geometry import POSITION_TOLERANCE_MM
from ..errors import UnusableInput
from .grid import Grid

if TYPE_CHECKING:
    import slicer

INSTANCE_UIDS = "DICOM.instanceUIDs"  # attribute in which Slicer keeps the slices' SOP Instance UIDs, in order of k


def check_volume(volume: slicer.vtkMRMLScalarVolumeNode) -> list[str]:
    """Raise UnusableInput where a volume cannot be segmented as it is; return what else there is to say.

    Whether its values are those of a CT is for the network to say, as it does for every caller.
    """
    name = volume.GetName()
    if volume.IsA("vtkMRMLLabelMapVolumeNode"):
        raise UnusableInput(f"{name} is a labelmap, no CT: choose the CT volume.")
    data = volume.GetImageData()
    if data is None or data.GetPointData().GetScalars() is None or 0 in data.GetDimensions():
        raise UnusableInput(f"{name} holds no image: load the CT again.")
    if data.GetNumberOfScalarComponents() != 1:
        raise UnusableInput(
            f"{name} has {data.GetNumberOfScalarComponents()} values a voxel (colours "
            "or vectors): choose the CT volume."
        )
    if min(data.GetDimensions()) < 2:
        raise UnusableInput(f"{name} is a single slice: choose the volume of the whole CT.")
    if not (Grid.of_volume(volume).orthogonal or instance_uids(volume)):
        raise UnusableInput(
            f"The axes of {name} are not perpendicular: resample it first (module Resample Scalar Volume)."
        )
    parent = volume.GetParentTransformNode()
    if parent is None or is_acquisition_transform(parent, volume):
        return []
    what = f"{name} is under the transform {parent.GetName()}"
    return [f"{what}: the network sees the CT as it was scanned, and the segments go under the same transform."]


def image_of(volume: slicer.vtkMRMLScalarVolumeNode) -> sitk.Image:
    """The volume as int16 on its own grid (LPS), where transforms do not count.

    Other number types are rounded and cut to int16's range. Raises UnusableInput as check_volume does, and for values
    that are not finite.
    """
    check_volume(volume)
    image = sitk.GetImageFromArray(_as_int16(array_of(volume), volume.GetName()))
    return Grid.of_volume(volume).place(image)


def array_of(volume: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    """The voxels [k, j, i], not copied."""
    data = volume.GetImageData()
    return vtk_to_numpy(data.GetPointData().GetScalars()).reshape(data.GetDimensions()[::-1])


def _as_int16(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype == np.int16:
        return array
    limits = np.iinfo(np.int16)
    converted = np.empty(array.shape, np.int16)
    for k, plane in enumerate(array):  # slice by slice, so that a float64 volume needs no second one
        if not np.isfinite(plane).all():
            raise UnusableInput(f"Slice {k + 1} of {name} holds values that are no numbers: load the CT again.")
        converted[k] = np.clip(np.rint(plane), limits.min, limits.max)
    return converted


def instance_uids(volume: slicer.vtkMRMLScalarVolumeNode) -> list[str]:
    """SOP Instance UIDs of the slices, in order of k; empty for a volume that is not from DICOM."""
    return (volume.GetAttribute(INSTANCE_UIDS) or "").split()


def is_acquisition_transform(transform, volume: slicer.vtkMRMLScalarVolumeNode) -> bool:
    """Whether it is the grid transform by which Slicer puts uneven, tilted or shifted DICOM slices in their places.

    Slicer's DICOM reader makes it with a displacement at the four corners of every slice.
    """
    if transform is None or not transform.IsA("vtkMRMLGridTransformNode") or not instance_uids(volume):
        return False
    grid = transform.GetTransformToParent().GetDisplacementGrid()
    return grid is not None and grid.GetDimensions() == (2, 2, volume.GetImageData().GetDimensions()[2])


def bends(volume: slicer.vtkMRMLScalarVolumeNode) -> bool:
    """Whether Slicer shows a DICOM series on a grid that is none for the network.

    It gives a tilted series slanted axes, and moves uneven or shifted slices by an acquisition transform (where that
    only makes up for positions rounded in the files, it counts for nothing).
    """
    if not instance_uids(volume):
        return False
    transform = volume.GetParentTransformNode()
    if not is_acquisition_transform(transform, volume):
        return not Grid.of_volume(volume).orthogonal
    displacements = vtk_to_numpy(transform.GetTransformToParent().GetDisplacementGrid().GetPointData().GetScalars())
    return bool(np.abs(displacements).max() > POSITION_TOLERANCE_MM)


def frame_of(volume: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLTransformNode | None:
    """The transform that the volume's segments belong under, so that they lie on what the clinician sees.

    None (the world) below an acquisition transform: where that puts the slices is where DICOM says they are.
    """
    parent = volume.GetParentTransformNode()
    return None if is_acquisition_transform(parent, volume) else parent


def rtstruct_impossible(volume: slicer.vtkMRMLScalarVolumeNode | None) -> str | None:
    """Why no RTSTRUCT can be written for a volume, and what to do; None where one can."""
    if volume is None:
        return (
            "The CT that the contours were drawn on is not in the scene: load it "
            "again, and choose it for the segmentation."
        )
    if not instance_uids(volume):
        return (
            f"{volume.GetName()} was not loaded from DICOM, so there are no patient, study and slices that an RTSTRUCT "
            "could refer to: load the CT's DICOM folder for one, or save the contours as labelmaps."
        )
    return None
