"""An RTSTRUCT to disk and back: whole and checked, or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from .. import __version__
from ..dicom.headers import quiet
from ..errors import HNSegmenterError
from .contours import SliceContour
from .readback import require_contours
from .writer import contour_points

# A UUID-derived UID (PS3.5 B.2) that stands for this program.
IMPLEMENTATION_CLASS_UID = "2.25.292174078368919629743482080649450246350"


def write(dataset: Dataset, path: Path, asked: Mapping[str, Sequence[SliceContour]] | None = None) -> None:
    """Write a completed RTSTRUCT in Explicit VR Little Endian.

    It is written beside `path`, read back, compared, and only then renamed to it. asked: ROI name -> the contours that its
    author drew, to be compared too; None where the author does that. Raises HNSegmenterError if the disk refuses or if
    what came back differs; nothing is left then.
    """
    path = Path(path)
    partial = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with quiet():
            _save(dataset, partial)
            again = pydicom.dcmread(partial)
            _require_equal(dataset, again)
            if asked is not None:
                require_contours(again, asked)
        os.replace(partial, path)
    except OSError as error:
        raise HNSegmenterError(
            f"The RTSTRUCT could not be written to {path} ({error.strerror or error}): check space and rights there."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def _save(dataset: Dataset, path: Path) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = f"HNSEG_{__version__}"[:16]
    file = Dataset(dataset)
    file.file_meta = meta
    if int(pydicom.__version__.split(".")[0]) >= 3:
        file.save_as(path, enforce_file_format=True)
    else:
        file.is_little_endian, file.is_implicit_VR = True, False
        file.save_as(path, write_like_original=False)


def _require_equal(dataset: Dataset, again: Dataset) -> None:
    """Raises HNSegmenterError unless every element, ROI, contour and point came back as it was."""
    if _summary(dataset) != _summary(again):
        raise HNSegmenterError("The RTSTRUCT did not read back as it was written: nothing was kept. Try another disk.")


def _summary(dataset: Dataset) -> tuple:
    texts = [str(dataset.get(keyword) or "") for keyword in _COMPARED]
    slices = [
        image.ReferencedSOPInstanceUID
        for frame in dataset.ReferencedFrameOfReferenceSequence
        for study in frame.RTReferencedStudySequence
        for series in study.RTReferencedSeriesSequence
        for image in series.ContourImageSequence
    ]
    names = [(item.ROINumber, str(item.ROIName), item.ReferencedFrameOfReferenceUID) for item in dataset.StructureSetROISequence]
    contours = [
        (roi.ReferencedROINumber, item.ContourImageSequence[0].ReferencedSOPInstanceUID, contour_points(item).tobytes())
        for roi in dataset.ROIContourSequence
        for item in roi.ContourSequence
    ]
    return texts, slices, names, contours


_COMPARED = (
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "FrameOfReferenceUID",
    "SpecificCharacterSet",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StructureSetLabel",
    "StructureSetDescription",
)
