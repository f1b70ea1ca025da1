"""SlicerRT's exporter, where it is installed. Needs the application.

What it writes is never handed on as it is: it refers to a copy of the CT under new UIDs, so rtstruct.complete puts the
contours on the original series.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import slicer
import vtk

from ...dicom.identity import KEYWORDS
from ...errors import HNSegmenterError
from ...events import Emit, Event, ignore
from ...rtstruct.pairing import pair
from ...silent_libraries import quiet
from .. import provenance
from ..grid import Grid, as_matrix
from ..results import put_beside
from ..volumes import bends, frame_of
from ..voxels import Mask, segment_mask, shared_image

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from ...dicom import PlanningCT

PLUGIN = "DicomRtImportExportPlugin"
MARGIN = 2  # voxels: no contour runs along the edge of what SlicerRT sees
DRAWING = (0.3, 0.8)  # the part of the whole export that it is


def slicer_rt_problem(volume, ct: PlanningCT | None = None) -> str | None:
    """Why SlicerRT's exporter is not used for a volume; None if it is.

    ct: the original series, where it was read already: SlicerRT matches contours to slices by their z alone.
    """
    if PLUGIN not in getattr(getattr(slicer, "modules", None), "dicomPlugins", {}):
        return "the extension SlicerRT is not installed"
    if frame_of(volume) is not None:
        return "the CT is under a transform, which SlicerRT would write into the contours"
    if ct is not None and ct.tilted:
        return "the series was scanned with a tilted gantry, which SlicerRT does not know"
    if (ct is not None and ct.resampled) or bends(volume):
        return "the slices are tilted, shifted or unevenly spaced, which SlicerRT does not know"
    if Grid.of_volume(volume).oblique:
        return "the slices are oblique, which SlicerRT does not know"
    return None


def export(node, volume, ct: PlanningCT, emit: Emit = ignore) -> Dataset:
    """The RTSTRUCT that SlicerRT makes of a segmentation, read into memory; its files are removed.

    Segments that are left out (scene.leave_out) are not in it.
    SlicerRT searches the whole CT for every contour and writes it along: it gets one segment at a time, with a blank CT
    that just holds it, so that neither time nor a copy of the patient's images is spent on that. emit hears a progress
    event before each segment: the window is blocked until the next.
    The result names the CT's study and no patient, whatever the subject hierarchy says. Raises HNSegmenterError with
    SlicerRT's message if it refuses, or if there is no readable file.
    """
    grid = Grid.of_volume(volume)
    masks = {
        segment_id: segment_mask(node, segment_id, grid, None)
        for segment_id, segment in provenance.segments(node).items()
        if not provenance.is_left_out(segment)
    }
    there = {segment_id: mask for segment_id, mask in masks.items() if mask is not None}
    parts: list[Dataset] = []
    for number, (segment_id, mask) in enumerate(there.items()):
        segment = node.GetSegmentation().GetSegment(segment_id)
        begin, end = DRAWING
        emit(Event("progress", "rtstruct", begin + (end - begin) * number / len(there), segment.GetName()))
        parts.append(_drawn(segment, mask, grid, volume))
    if not parts:
        raise HNSegmenterError("There is no contour that SlicerRT could export.")
    whole = _joined(parts)
    for keyword in KEYWORDS:
        whole.pop(keyword, None)
    whole.StudyInstanceUID = ct.study_uid
    return whole


def _drawn(segment, mask: Mask, grid: Grid, volume) -> Dataset:
    """The RTSTRUCT of one segment."""
    plugin = slicer.modules.dicomPlugins[PLUGIN]()
    blank, alone = _blank_around(mask, grid), _alone(segment, mask, grid)
    try:
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        exportables = []
        for data in (blank, alone):  # the CT first: directory and tags are taken from the first
            put_beside(data, volume)
            exportables += plugin.examineForExport(hierarchy.GetItemByDataNode(data))
        with tempfile.TemporaryDirectory(prefix="hn-segmenter-") as folder:
            for exportable in exportables:
                exportable.directory = folder
            message = plugin.export(exportables)
            if message:
                raise HNSegmenterError(f"SlicerRT could not export the contours: {message}")
            found = (_read(path) for path in sorted(Path(folder).rglob("*.dcm")))
            dataset = next((dataset for dataset in found if dataset is not None), None)
    finally:
        slicer.mrmlScene.RemoveNode(alone)
        slicer.mrmlScene.RemoveNode(blank)
    if dataset is None:
        raise HNSegmenterError("SlicerRT said that it exported the contours, but wrote no RTSTRUCT.")
    return dataset


def _blank_around(mask: Mask, grid: Grid):
    """A volume of zeros on the CT's lattice, MARGIN voxels larger than the segment."""
    low = np.subtract(mask.corner, MARGIN)
    data = vtk.vtkImageData()
    data.SetDimensions(*(length + 2 * MARGIN for length in mask.voxels.shape[::-1]))
    data.AllocateScalars(vtk.VTK_SHORT, 1)
    data.GetPointData().GetScalars().Fill(0)
    place = grid.ijk_to_ras.copy()
    place[:3, 3] += place[:3, :3] @ low
    blank = slicer.vtkMRMLScalarVolumeNode()
    blank.SetName("CT")
    blank.SetHideFromEditors(True)
    blank.SetIJKToRASMatrix(as_matrix(place))
    blank.SetAndObserveImageData(data)
    return slicer.mrmlScene.AddNode(blank)


def _alone(segment, mask: Mask, grid: Grid):
    """A segmentation of that one segment, its voxels as they are on the CT's lattice."""
    kind = slicer.vtkSegmentationConverter.GetBinaryLabelmapRepresentationName()
    copy = slicer.vtkSegment()
    copy.SetName(segment.GetName())
    copy.SetColor(segment.GetColor())
    copy.AddRepresentation(kind, shared_image({segment.GetName(): mask}, grid))
    node = slicer.vtkMRMLSegmentationNode()
    node.SetName("Contours")
    node.SetHideFromEditors(True)
    node.GetSegmentation().SetSourceRepresentationName(kind)
    node.GetSegmentation().AddSegment(copy)
    return slicer.mrmlScene.AddNode(node)


def _joined(parts: list[Dataset]) -> Dataset:
    """The first data set with the regions of all, numbered anew."""
    with quiet():
        rois = [roi for part in parts for roi in pair(part).rois]
    for number, roi in enumerate(rois, start=1):
        roi.item.ROINumber = number
        for item in [*roi.drawn, *roi.observations]:
            item.ReferencedROINumber = number
        for seen in roi.observations:
            seen.ObservationNumber = number
    whole = parts[0]
    whole.StructureSetROISequence = [roi.item for roi in rois]
    whole.ROIContourSequence = [item for roi in rois for item in roi.drawn]
    whole.RTROIObservationsSequence = [item for roi in rois for item in roi.observations]
    return whole


def _read(path: Path) -> Dataset | None:
    import pydicom

    try:
        with quiet():
            head = pydicom.dcmread(path, specific_tags=["Modality"], stop_before_pixels=True)
            return pydicom.dcmread(path) if head.get("Modality") == "RTSTRUCT" else None
    except (OSError, pydicom.errors.InvalidDicomError):
        return None
