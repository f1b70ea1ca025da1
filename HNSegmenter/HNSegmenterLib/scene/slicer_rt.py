"""SlicerRT's exporter, where it is installed. Needs the application.

What it writes is never handed on as it is: it refers to a copy of the CT under new UIDs, so rtstruct.complete puts the
contours on the original series.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import slicer

from ..errors import HNSegmenterError
from .volumes import bends, frame_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from ..dicom import PlanningCT

PLUGIN = "DicomRtImportExportPlugin"


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

    It names the CT's patient and study, whatever the subject hierarchy says. Raises HNSegmenterError with SlicerRT's message
    if it refuses, or if there is no readable file.
    """
    plugin = slicer.modules.dicomPlugins[PLUGIN]()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    exportables = [
        exportable
        for data in (volume, node)  # the CT first: directory and tags are taken from the first
        for exportable in plugin.examineForExport(hierarchy.GetItemByDataNode(data))
    ]
    with tempfile.TemporaryDirectory(prefix="hn-segmenter-") as folder:
        for exportable in exportables:
            exportable.directory = folder
            exportable.setTag("PatientID", str(ct.header.get("PatientID") or ""))
        with _upright(volume):
            message = plugin.export(exportables)
        if message:
            raise HNSegmenterError(f"SlicerRT could not export the contours: {message}")
        found = (_read(path) for path in sorted(Path(folder).rglob("*.dcm")))
        dataset = next((dataset for dataset in found if dataset is not None), None)
    if dataset is None:
        raise HNSegmenterError("SlicerRT said that it exported the contours, but wrote no RTSTRUCT.")
    dataset.PatientID, dataset.StudyInstanceUID = ct.header.get("PatientID"), ct.study_uid
    return dataset


@contextmanager
def _upright(volume) -> Iterator[None]:
    """Without the tiny acquisition transform of rounded slice positions, by which SlicerRT would resample the CT."""
    transform = volume.GetTransformNodeID()
    volume.SetAndObserveTransformNodeID(None)
    try:
        yield
    finally:
        volume.SetAndObserveTransformNodeID(transform)


def _read(path: Path) -> Dataset | None:
    import pydicom

    from ..dicom.headers import quiet

    try:
        with quiet():
            head = pydicom.dcmread(path, specific_tags=["Modality"], stop_before_pixels=True)
            return pydicom.dcmread(path) if head.get("Modality") == "RTSTRUCT" else None
    except (OSError, pydicom.errors.InvalidDicomError):
        return None
