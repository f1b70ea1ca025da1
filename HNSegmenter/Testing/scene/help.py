"""What the scene tests share: a MRML scene without an application, with the sample series or a phantom in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

slicer = pytest.importorskip(
    "slicer", reason="needs the wheel slicer-core, or Slicer's own Python (make test-slicer-core)"
)

import vtk
from vtkmodules.util.numpy_support import numpy_to_vtk

from HNSegmenterLib.result import Result
from HNSegmenterLib.rtstruct import pair
from HNSegmenterLib.scene.grid import Grid, as_matrix
from Testing.rtstruct.help import result


def new_scene():
    """A scene as the application has one: with segmentations, terminologies and a subject hierarchy."""
    scene = slicer.vtkMRMLScene()
    logic = slicer.vtkSlicerSegmentationsModuleLogic()
    logic.SetMRMLScene(scene)
    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    scene.logic = logic  # lives as long as the scene
    return scene


def add_volume(scene, image: sitk.Image, uids=(), name="Planning CT", dtype=None):
    """The image as a scalar volume node, as Slicer's DICOM reader leaves it."""
    array = sitk.GetArrayFromImage(image)
    array = array if dtype is None else array.astype(dtype)
    data = vtk.vtkImageData()
    data.SetDimensions(*image.GetSize())
    data.GetPointData().SetScalars(numpy_to_vtk(array.ravel(), deep=True))
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.SetAndObserveImageData(data)
    node.SetIJKToRASMatrix(as_matrix(Grid.of_image(image).ijk_to_ras))
    if uids:
        node.SetAttribute("DICOM.instanceUIDs", " ".join(uids))
    return node


def add_ct(scene, ct, **options):
    return add_volume(scene, ct.image, [slice_.sop_instance_uid for slice_ in ct.slices], **options)


def in_study(scene, volume) -> tuple[int, int]:
    """Put the volume under a made-up patient and study of the subject hierarchy; (study, volume) items."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "TEST^Phantom")
    study = hierarchy.CreateStudyItem(patient, "Phantom")
    return study, hierarchy.CreateItem(study, volume)


def write_results(folder: Path, labelmaps: dict[str, sitk.Image], **statuses: str) -> Result:
    """A results folder as the command line leaves one."""
    made = result(**statuses)
    (folder / "segmentations").mkdir(parents=True)
    for organ in made.organs:
        if organ.found and organ.name in labelmaps:
            organ.file = f"{organ.name}.nii.gz"
            sitk.WriteImage(labelmaps[organ.name], str(folder / "segmentations" / organ.file))
    made.write(folder / "result.json")
    return made


def voxels(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


def paint(node, segment_id: str, grid: Grid, change) -> None:
    """Change a segment as the Segment Editor does: change gets its voxels [k, j, i] and edits them in place."""
    from HNSegmenterLib.scene.voxels import mask_of_array, segment_mask, shared_image

    mask = segment_mask(node, segment_id, grid, node.GetParentTransformNode())
    array = mask.full(grid.size) if mask else np.zeros(grid.size[::-1], np.uint8)
    change(array)
    edited = shared_image({"": mask_of_array(array)}, grid)
    slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(edited, node, segment_id)


def add_segment(node, name: str, grid: Grid, array: np.ndarray, terminology: str | None = None) -> str:
    """A segment drawn by hand."""
    from HNSegmenterLib.scene.voxels import mask_of_array, shared_image

    segment_id = node.GetSegmentation().AddEmptySegment("", name)
    if terminology:
        node.GetSegmentation().GetSegment(segment_id).SetTerminology(terminology)
    drawn = shared_image({"": mask_of_array(array)}, grid)
    slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(drawn, node, segment_id)
    return segment_id


def contours(path: Path) -> list[tuple]:
    """(ROI Number, SOP Instance UID of the slice, Contour Data) of every contour in an RTSTRUCT."""
    dataset = pydicom.dcmread(path)
    return [
        (roi.ReferencedROINumber, item.ContourImageSequence[0].ReferencedSOPInstanceUID, list(item.ContourData))
        for roi in dataset.ROIContourSequence
        for item in roi.ContourSequence
    ]


def slice_ids(path: Path) -> set[str]:
    return {uid for _, uid, _ in contours(path)}


def box(volume, low=(5, 10, 10), high=(9, 20, 20)) -> np.ndarray:
    array = np.zeros(Grid.of_volume(volume).size[::-1], np.uint8)
    array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = 1
    return array


def rois(path) -> dict[str, tuple[str, str]]:
    """ROI name -> (ROI Generation Algorithm, RT ROI Interpreted Type) in the file."""
    found = {}
    for roi in pair(pydicom.dcmread(path)).rois:
        (kind,) = roi.interpreted_types
        found[roi.name] = (roi.item.ROIGenerationAlgorithm, kind)
    return found
