"""Made-up patients as DICOM files, shared by all tests.

Arrays are [k, j, i] = (slice, row, column); k ascends along the slice normal (row cosines x column cosines).
Spacing is (x, y, z) = (between columns, between rows, between slices) in mm; positions are LPS mm.
Every patient is named TEST^...: no real person is behind any of this.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    generate_uid,
)

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
PATIENT = {
    "PatientName": "TEST^Phantom",
    "PatientID": "TEST-0001",
    "PatientBirthDate": "19700101",
    "PatientSex": "O",
}
DCMTK = {  # kind -> command that reads one file and writes another
    "jpeg-lossless": ["dcmcjpeg", "+e1"],
    "jpeg-lossless-sv-any": ["dcmcjpeg", "+el"],
    "jpeg-ls": ["dcmcjpls", "+el"],
    "rle": ["dcmcrle"],
    "deflated": ["dcmconv", "+td"],
    "implicit": ["dcmconv", "+ti"],
    "big-endian": ["dcmconv", "+tb"],
}


def head_phantom(shape: Sequence[int] = (40, 64, 64), spacing: Sequence[float] = (4.0, 4.0, 4.0)) -> np.ndarray:
    """A lopsided head in HU, int16 [k, j, i]: no two sides, ends or faces are alike.

    Soft tissue (40 HU) in air (-1000), narrower towards high k, with a bone marker (900 HU) on the side of high i
    (the patient's left when axial), a fat marker (-90 HU) at low j (the front) and a gradient of 0.1 HU/mm along k.
    """
    k, j, i = (np.arange(n, dtype=np.float32) for n in shape)
    x = ((i - (shape[2] - 1) / 2) * spacing[0])[None, None, :]
    y = ((j - (shape[1] - 1) / 2) * spacing[1])[None, :, None]
    z = ((k - (shape[0] - 1) / 2) * spacing[2])[:, None, None]
    half_z, taper = shape[0] * spacing[2] / 2, 1 - 0.15 * z / (shape[0] * spacing[2] / 2)
    hu = np.full(shape, -1000, np.float32)
    head = (x / (75 * taper)) ** 2 + (y / (95 * taper)) ** 2 < 1
    hu = np.where(head, 40 + 0.1 * z, hu)
    hu[(x - 40) ** 2 + y**2 + (z - 0.2 * half_z) ** 2 < 15**2] = 900
    hu[x**2 + (y + 60) ** 2 + (z + 0.3 * half_z) ** 2 < 15**2] = -90
    return np.rint(hu).astype(np.int16)


def slice_positions(
    count: int,
    spacing_z: float,
    origin: Sequence[float] = (0, 0, 0),
    orientation: Sequence[float] = AXIAL,
    shear: Sequence[float] = (0, 0, 0),
) -> np.ndarray:
    """ImagePositionPatient of every slice, (count, 3) mm;
    shear is added to the step between two slices (gantry tilt)."""
    normal = np.cross(orientation[:3], orientation[3:])
    step = normal * spacing_z + np.asarray(shear, float)
    return np.asarray(origin, float) + np.arange(count)[:, None] * step


def write_ct_series(
    folder: Path,
    volume_hu: np.ndarray,
    spacing: Sequence[float] = (4.0, 4.0, 4.0),
    origin: Sequence[float] = (0.0, 0.0, 0.0),
    orientation: Sequence[float] = AXIAL,
    *,
    positions: np.ndarray | None = None,
    patient: Mapping[str, Any] | None = None,
    tags: Mapping[str, Any] | None = None,
    overrides: Mapping[int, Mapping[str, Any]] | None = None,
    slope: float = 1.0,
    intercept: float = -1024.0,
    signed: bool = False,
    transfer_syntax: str = ExplicitVRLittleEndian,
    prefix: str = "CT",
) -> list[Path]:
    """Write a CT series, one file a slice in order of k, and return the files.

    positions: ImagePositionPatient per slice, (n, 3), in place of origin + k * spacing * normal.
    patient: attributes over PATIENT. tags: attributes set in every slice (None deletes one).
    overrides: {k: attributes} for single slices, applied last (None deletes one, "HU" replaces the pixels).
    transfer_syntax: one of the uncompressed ones; see compress() for the others.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if positions is None:
        positions = slice_positions(len(volume_hu), spacing[2], origin, orientation)
    series = _series_tags(spacing, orientation) | PATIENT | dict(patient or {}) | dict(tags or {})
    files = []
    for k, position in enumerate(positions):
        own = dict((overrides or {}).get(k, {}))
        hu = own.pop("HU", volume_hu[k])
        dataset = _slice(hu, own.pop("slope", slope), own.pop("intercept", intercept), signed)
        dataset.SOPInstanceUID = generate_uid(None)
        dataset.InstanceNumber = k + 1
        dataset.ImagePositionPatient = [f"{value:.6f}".rstrip("0").rstrip(".") for value in position]
        for keyword, value in {**series, **own}.items():
            _set(dataset, keyword, value)
        files.append(folder / f"{prefix}{k + 1:04d}.dcm")
        save(dataset, files[-1], transfer_syntax)
    return files


def nifti_to_series(nifti: Path, folder: Path, **variations: Any) -> list[Path]:
    """Write a NIfTI CT (HU, any orthonormal direction) as a DICOM CT series; variations as of write_ct_series."""
    import SimpleITK as sitk

    image = sitk.ReadImage(str(nifti))
    volume = sitk.GetArrayFromImage(image).astype(np.int16)
    direction = np.array(image.GetDirection()).reshape(3, 3)
    origin = np.array(image.GetOrigin())
    if np.linalg.det(direction) < 0:
        volume = volume[::-1]
        origin = origin + direction[:, 2] * image.GetSpacing()[2] * (len(volume) - 1)
    orientation = (*direction[:, 0], *direction[:, 1])
    return write_ct_series(folder, volume, image.GetSpacing(), origin, orientation, **variations)


def save(dataset: Dataset, path: Path, transfer_syntax: str = ExplicitVRLittleEndian) -> Path:
    """Write a dataset as a DICOM file with preamble and meta header; needs no particular pydicom version."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = transfer_syntax
    meta.ImplementationClassUID = "2.25.80302813137786398554742050926734630921"
    file = FileDataset(
        str(path),
        dataset,
        file_meta=meta,
        preamble=b"\0" * 128,
        is_implicit_VR=transfer_syntax == ImplicitVRLittleEndian,
        is_little_endian=transfer_syntax != ExplicitVRBigEndian,
    )
    file.save_as(str(path))
    return Path(path)


def edit(path: Path, **attributes: Any) -> None:
    """Change attributes of a written file in place; None deletes one."""
    dataset = pydicom.dcmread(path)
    for keyword, value in attributes.items():
        _set(dataset, keyword, value)
    if "SOPInstanceUID" in attributes:
        dataset.file_meta.MediaStorageSOPInstanceUID = attributes["SOPInstanceUID"]
    dataset.save_as(str(path))


def compress(files: Sequence[Path], kind: str) -> None:
    """Replace files by the same images in another transfer syntax, with DCMTK; kind is a key of DCMTK."""
    command = DCMTK[kind]
    if not shutil.which(command[0]):
        raise FileNotFoundError(f"{command[0]} is not installed (Debian package dcmtk)")
    for path in files:
        beside = path.with_suffix(".part")
        subprocess.run([*command, str(path), str(beside)], check=True, capture_output=True)
        beside.replace(path)


def compress_jpeg2000(files: Sequence[Path]) -> None:
    """Replace 16-bit native files by the same images in JPEG 2000 lossless, with the encoder of GDCM in SimpleITK."""
    import SimpleITK as sitk
    from pydicom.uid import JPEG2000Lossless

    for path in files:
        dataset = pydicom.dcmread(path)
        kind = "<i2" if dataset.PixelRepresentation else "<u2"
        stored = np.frombuffer(dataset.PixelData, kind).reshape(1, dataset.Rows, dataset.Columns)
        beside = path.with_suffix(".part")
        writer = sitk.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.SetFileName(str(beside))
        writer.UseCompressionOn()
        writer.SetCompressor("JPEG2000")
        writer.Execute(sitk.GetImageFromArray(stored))
        encoded = pydicom.dcmread(beside, force=True)
        assert encoded.file_meta.TransferSyntaxUID == JPEG2000Lossless
        beside.unlink()
        dataset.add(encoded["PixelData"])
        save(dataset, path, JPEG2000Lossless)


def _series_tags(spacing: Sequence[float], orientation: Sequence[float]) -> dict[str, Any]:
    return {
        "SpecificCharacterSet": "ISO_IR 100",
        "SOPClassUID": CTImageStorage,
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "StudyInstanceUID": generate_uid(None),
        "SeriesInstanceUID": generate_uid(None),
        "FrameOfReferenceUID": generate_uid(None),
        "StudyID": "1",
        "SeriesNumber": 2,
        "AcquisitionNumber": 1,
        "AccessionNumber": "",
        "ReferringPhysicianName": "",
        "StudyDate": "20260101",
        "StudyTime": "120000",
        "SeriesDescription": "Phantom planning CT",
        "StudyDescription": "Phantom",
        "Manufacturer": "Made up",
        "PositionReferenceIndicator": "",
        "PatientPosition": "HFS",
        "KVP": "120",
        "SliceThickness": f"{spacing[2]:g}",
        "PixelSpacing": [f"{spacing[1]:.8g}", f"{spacing[0]:.8g}"],
        "ImageOrientationPatient": [f"{value:.8f}".rstrip("0").rstrip(".") for value in orientation],
    }


def _slice(hu: np.ndarray, slope: float, intercept: float, signed: bool) -> Dataset:
    stored = np.rint((np.asarray(hu, np.float64) - intercept) / slope)
    kind = np.iinfo(np.int16 if signed else np.uint16)
    pixels = np.clip(stored, kind.min, kind.max).astype("<i2" if signed else "<u2")
    dataset = Dataset()
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = int(signed)
    dataset.RescaleSlope = f"{slope:.10g}"
    dataset.RescaleIntercept = f"{intercept:.10g}"
    dataset.RescaleType = "HU"
    dataset.add_new("PixelData", "OW", pixels.tobytes())
    return dataset


def _set(dataset: Dataset, keyword: str, value: Any) -> None:
    if value is not None:
        setattr(dataset, keyword, value)
    elif keyword in dataset:
        delattr(dataset, keyword)
