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

from ..errors import HNSegmenterError
from . import provenance
from .grid import Grid, as_matrix
from .results import put_beside
from .volumes import bends, frame_of
from .voxels import segment_mask

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from ..dicom import PlanningCT

PLUGIN = "DicomRtImportExportPlugin"
MARGIN = 2  # voxels: no contour runs along the edge of what SlicerRT sees


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
    if ct is not None and ct.oblique:
        return "the slices are oblique, which SlicerRT does not know"
    return None


def export(node, volume, ct: PlanningCT) -> Dataset:
    """The RTSTRUCT that SlicerRT makes of a segmentation, read into memory; its files are removed.

    SlicerRT writes the CT along: it gets a blank one that just holds the segments, so that neither time nor a copy of the
    patient's images is spent on that. The result names the CT's patient and study, whatever the subject hierarchy says.
    Raises HNSegmenterError with SlicerRT's message if it refuses, or if there is no readable file.
    """
    plugin = slicer.modules.dicomPlugins[PLUGIN]()
    blank = _blank_around(node, volume)
    try:
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        exportables = [
            exportable
            for data in (blank, node)  # the CT first: directory and tags are taken from the first
            for exportable in plugin.examineForExport(hierarchy.GetItemByDataNode(data))
        ]
        with tempfile.TemporaryDirectory(prefix="hn-segmenter-") as folder:
            for exportable in exportables:
                exportable.directory = folder
            message = plugin.export(exportables)
            if message:
                raise HNSegmenterError(f"SlicerRT could not export the contours: {message}")
            found = (_read(path) for path in sorted(Path(folder).rglob("*.dcm")))
            dataset = next((dataset for dataset in found if dataset is not None), None)
    finally:
        slicer.mrmlScene.RemoveNode(blank)
    if dataset is None:
        raise HNSegmenterError("SlicerRT said that it exported the contours, but wrote no RTSTRUCT.")
    dataset.PatientID, dataset.StudyInstanceUID = ct.header.get("PatientID"), ct.study_uid
    return dataset


def _blank_around(node, volume):
    """A volume of zeros on the CT's lattice, MARGIN voxels larger than the box of all segments, beside the CT."""
    grid = Grid.of_volume(volume)
    masks = [segment_mask(node, segment_id, grid, None) for segment_id in provenance.segments(node)]
    boxes = [(mask.corner, np.add(mask.corner, mask.voxels.shape[::-1])) for mask in masks if mask is not None]
    low = np.min([box[0] for box in boxes], axis=0) - MARGIN
    size = np.max([box[1] for box in boxes], axis=0) + MARGIN - low
    data = vtk.vtkImageData()
    data.SetDimensions(*size.tolist())
    data.AllocateScalars(vtk.VTK_SHORT, 1)
    data.GetPointData().GetScalars().Fill(0)
    place = grid.ijk_to_ras.copy()
    place[:3, 3] += place[:3, :3] @ low
    blank = slicer.vtkMRMLScalarVolumeNode()
    blank.SetName("CT")
    blank.SetHideFromEditors(True)
    blank.SetIJKToRASMatrix(as_matrix(place))
    blank.SetAndObserveImageData(data)
    slicer.mrmlScene.AddNode(blank)
    put_beside(blank, volume)
    return blank


def _read(path: Path) -> Dataset | None:
    import pydicom

    from ..dicom.headers import quiet

    try:
        with quiet():
            head = pydicom.dcmread(path, specific_tags=["Modality"], stop_before_pixels=True)
            return pydicom.dcmread(path) if head.get("Modality") == "RTSTRUCT" else None
    except (OSError, pydicom.errors.InvalidDicomError):
        return None
