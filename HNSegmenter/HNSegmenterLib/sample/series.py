"""A CT as a DICOM series, as a treatment planning CT leaves the scanner:
the sample patient's, or any other of made-up identity."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian
from pydicom.valuerep import DSfloat

from ..errors import HNSegmenterError, WrongUsage
from .volume import sample_volume

PATIENT_NAME = "TEST^SamplePatient"
PATIENT_ID = "HNSEG-SAMPLE"
_DATE, _TIME = "20260101", "120000"  # made up, and the same in every copy
_INTERCEPT, _HIGHEST_HU = -1024, 3071  # what 12 bits hold


@dataclass(frozen=True)
class MadeUp:
    """A patient that says of itself that it is no one. key: of all UIDs, the same for the same key."""

    name: str
    patient_id: str
    study: str
    series: str
    comment: str
    key: str

    def uid(self, what: str) -> str:
        """The same for the same key and thing, as PS3.5 B.2 makes one of a UUID."""
        return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, f'{self.key}, {what}').int}"


def sample_patient(seed: int) -> MadeUp:
    return MadeUp(
        PATIENT_NAME,
        PATIENT_ID,
        "Sample patient, no real person",
        "Planning CT, synthetic",
        "Synthetic population average: no real person",
        f"HN Segmenter sample patient, version 1, seed {seed}",
    )


def write_dicom(folder: Path, seed: int = 0) -> Path:
    """Write the sample patient's series into `folder` (new or empty), one file a slice, and return it.

    All UIDs and dates are fixed for a seed: twice written is the same patient, bit for bit. The files appear
    together or not at all. Raises WrongUsage if the folder is in use, HNSegmenterError if it cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise WrongUsage(f"{folder} is not empty: name a new folder for the sample patient.")
    return write_series(sample_volume(seed)[0], folder, sample_patient(seed))


def write_series(ct: sitk.Image, folder: Path, who: MadeUp) -> Path:
    """Write a CT (HU, any orthonormal direction) as a series, one file a slice of axis k, into `folder` (new or empty).

    HU beyond 12 bits (-1024 to 3071) are clipped. Raises HNSegmenterError if it cannot be written;
    then nothing is left.
    """
    staged = folder.with_name(f".{folder.name}.part")
    try:
        staged.mkdir(parents=True)
        for k, dataset in enumerate(_slices(ct, who)):
            dataset.save_as(staged / f"CT{k + 1:04d}.dcm", **_FILE_FORMAT)
        if folder.exists():
            folder.rmdir()
        staged.rename(folder)
    except OSError as fault:
        raise HNSegmenterError(
            f"The CT series could not be written to {folder}: {fault.strerror}. Name a folder that can be written."
        ) from fault
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return folder


# pydicom 3 renamed the argument that adds preamble and meta header.
_FILE_FORMAT = (
    {"enforce_file_format": True} if int(pydicom.__version__.split(".")[0]) >= 3 else {"write_like_original": False}
)


def _slices(ct: sitk.Image, who: MadeUp) -> Iterator[Dataset]:
    if np.linalg.det(np.reshape(ct.GetDirection(), (3, 3))) < 0:
        ct = ct[:, :, ::-1]  # slices are stacked along rows x columns
    common = _series(ct, who)
    for k, pixels in enumerate(sitk.GetArrayViewFromImage(ct)):
        position = ct.TransformIndexToPhysicalPoint((0, 0, k))
        dataset = Dataset()
        dataset.update(common)
        dataset.SOPInstanceUID = who.uid(f"slice {k + 1}")
        dataset.InstanceNumber = k + 1
        dataset.ImagePositionPatient = _numbers(position)
        dataset.SliceLocation = _number(position[2])
        stored = np.clip(pixels, _INTERCEPT, _HIGHEST_HU).astype(np.int16) - np.int16(_INTERCEPT)
        dataset.PixelData = stored.astype("<u2").tobytes()
        dataset.file_meta = _meta(dataset)
        yield dataset


def _series(ct: sitk.Image, who: MadeUp) -> Dataset:
    """What all slices have in common."""
    d = Dataset()
    if int(pydicom.__version__.split(".")[0]) < 3:
        d.is_little_endian, d.is_implicit_VR = True, False
    columns, rows, _ = ct.GetSize()
    spacing, direction = ct.GetSpacing(), np.reshape(ct.GetDirection(), (3, 3))
    # What a scanner's primary axial images say, so that a planning system takes the series; the comments say the truth.
    d.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    d.SOPClassUID = CTImageStorage
    d.StudyDate = d.SeriesDate = d.AcquisitionDate = d.ContentDate = _DATE
    d.StudyTime = d.SeriesTime = d.AcquisitionTime = d.ContentTime = _TIME
    d.AccessionNumber = d.ReferringPhysicianName = ""
    d.Modality = "CT"
    d.Manufacturer = "HN Segmenter"
    d.ManufacturerModelName = "Sample patient"
    d.StudyDescription = who.study
    d.SeriesDescription = who.series
    d.PatientName, d.PatientID = who.name, who.patient_id
    d.PatientBirthDate, d.PatientSex = "", "O"
    d.PatientIdentityRemoved, d.DeidentificationMethod = "YES", who.comment
    d.PatientComments = d.ImageComments = who.comment
    d.BodyPartExamined, d.PatientPosition = "HEADNECK", "HFS"
    d.SliceThickness, d.KVP = _number(spacing[2]), 120
    d.RescaleType, d.RescaleIntercept, d.RescaleSlope = "HU", _INTERCEPT, 1
    d.StudyInstanceUID = who.uid("study")
    d.SeriesInstanceUID = who.uid("series")
    d.FrameOfReferenceUID = who.uid("frame of reference")
    d.StudyID, d.SeriesNumber, d.AcquisitionNumber = "1", 1, 1
    d.PositionReferenceIndicator = ""
    d.ImageOrientationPatient = _numbers((*direction[:, 0], *direction[:, 1]))
    d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
    d.Rows, d.Columns = rows, columns
    d.PixelSpacing = _numbers((spacing[1], spacing[0]))
    d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, 12, 11, 0
    d.WindowCenter, d.WindowWidth = 40, 400
    return d


def _number(value: float) -> DSfloat:
    """At most 16 characters, as a Decimal String may have."""
    return DSfloat(float(value) + 0.0, auto_format=True)  # no -0.0


def _numbers(values: tuple[float, ...]) -> list[DSfloat]:
    return [_number(value) for value in values]


def _meta(dataset: Dataset) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(sample_patient(0).uid("writer"))
    return meta
