"""The sample CT as a DICOM series, as a treatment planning CT leaves the scanner."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from ..errors import HNSegmenterError, WrongUsage
from .volume import sample_volume

PATIENT_NAME = "TEST^SamplePatient"
PATIENT_ID = "HNSEG-SAMPLE"
_COMMENT = "Synthetic population average: no real person"
_DATE, _TIME = "20260101", "120000"  # made up, and the same in every copy
_INTERCEPT = -1024


def write_dicom(folder: Path, seed: int = 0) -> Path:
    """Write the series into `folder` (new or empty), one file a slice, and return it.

    All UIDs and dates are fixed for a seed: twice written is the same patient, bit for bit. The files appear
    together or not at all. Raises WrongUsage if the folder is in use, HNSegmenterError if it cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise WrongUsage(f"{folder} is not empty: name a new folder for the sample patient.")
    ct, _ = sample_volume(seed)
    staged = folder.with_name(f".{folder.name}.part")
    try:
        staged.mkdir(parents=True)
        for k, dataset in enumerate(_slices(ct, seed)):
            dataset.save_as(staged / f"CT{k + 1:04d}.dcm", **_FILE_FORMAT)
        if folder.exists():
            folder.rmdir()
        staged.rename(folder)
    except OSError as fault:
        raise HNSegmenterError(
            f"The sample patient could not be written to {folder}: {fault.strerror}. Name a folder that can be written."
        ) from fault
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return folder


# pydicom 3 renamed the argument that adds preamble and meta header.
_FILE_FORMAT = {"enforce_file_format": True} if int(pydicom.__version__.split(".")[0]) >= 3 else {"write_like_original": False}


def _slices(ct: sitk.Image, seed: int):
    hu = sitk.GetArrayViewFromImage(ct)
    spacing, origin = ct.GetSpacing(), ct.GetOrigin()
    common = _series(seed, spacing)
    for k, pixels in enumerate(hu):
        z = origin[2] + k * spacing[2]
        dataset = Dataset()
        dataset.update(common)
        dataset.SOPInstanceUID = _uid(seed, f"slice {k + 1}")
        dataset.InstanceNumber = k + 1
        dataset.ImagePositionPatient = [origin[0], origin[1], z]
        dataset.SliceLocation = z
        dataset.PixelData = (pixels - np.int16(_INTERCEPT)).astype("<u2").tobytes()
        dataset.file_meta = _meta(dataset)
        yield dataset


def _series(seed: int, spacing: tuple[float, ...]) -> Dataset:
    """What all slices have in common."""
    d = Dataset()
    if int(pydicom.__version__.split(".")[0]) < 3:
        d.is_little_endian, d.is_implicit_VR = True, False
    # What a scanner's primary axial images say, so that a planning system takes the series; the comments say the truth.
    d.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    d.SOPClassUID = CTImageStorage
    d.StudyDate = d.SeriesDate = d.AcquisitionDate = d.ContentDate = _DATE
    d.StudyTime = d.SeriesTime = d.AcquisitionTime = d.ContentTime = _TIME
    d.AccessionNumber = d.ReferringPhysicianName = ""
    d.Modality = "CT"
    d.Manufacturer = "HN Segmenter"
    d.ManufacturerModelName = "Sample patient"
    d.StudyDescription = "Sample patient, no real person"
    d.SeriesDescription = "Planning CT, synthetic"
    d.PatientName, d.PatientID = PATIENT_NAME, PATIENT_ID
    d.PatientBirthDate, d.PatientSex = "", "O"
    d.PatientIdentityRemoved, d.DeidentificationMethod = "YES", _COMMENT
    d.PatientComments = d.ImageComments = _COMMENT
    d.BodyPartExamined, d.PatientPosition = "HEADNECK", "HFS"
    d.SliceThickness, d.KVP = spacing[2], 120
    d.RescaleType, d.RescaleIntercept, d.RescaleSlope = "HU", _INTERCEPT, 1
    d.StudyInstanceUID = _uid(seed, "study")
    d.SeriesInstanceUID = _uid(seed, "series")
    d.FrameOfReferenceUID = _uid(seed, "frame of reference")
    d.StudyID, d.SeriesNumber, d.AcquisitionNumber = "1", 1, 1
    d.PositionReferenceIndicator = ""
    d.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
    d.Rows = d.Columns = 512
    d.PixelSpacing = [spacing[1], spacing[0]]
    d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, 12, 11, 0
    d.WindowCenter, d.WindowWidth = 40, 400
    return d


def _meta(dataset: Dataset) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = _uid(0, "writer")
    return meta


def _uid(seed: int, what: str) -> str:
    """The same for the same seed and thing, as PS3.5 B.2 makes one of a UUID."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, f'HN Segmenter sample patient, version 1, seed {seed}, {what}').int}"
