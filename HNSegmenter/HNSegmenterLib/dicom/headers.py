"""What one DICOM file says of itself, read without its pixels."""

from __future__ import annotations

import math
import string
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pydicom
from pydicom.datadict import dictionary_description
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian

from ..errors import UnusableInput
from .identity import Identity

PREAMBLE = 128
PADDING = string.whitespace + "\0"  # spaces belong around texts, NULs behind UIDs; writers mix them up
# First bytes of a data set written without preamble: group 0008, or a bare meta header (0002), little endian.
# Big endian is not among them: without a meta header nothing says so for the pixels.
BARE_STARTS = (b"\x08\x00", b"\x02\x00")

KEYWORDS = [
    "SpecificCharacterSet",
    "ImageType",
    "SOPClassUID",
    "SOPInstanceUID",
    "Modality",
    "BodyPartExamined",
    "SeriesDescription",
    "SeriesNumber",
    "ProtocolName",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "SliceThickness",
    "SpacingBetweenSlices",
    "SliceLocation",
    "GantryDetectorTilt",
    "PatientPosition",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "AcquisitionNumber",
    "InstanceNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "FrameOfReferenceUID",
    "TemporalPositionIdentifier",
    "TriggerTime",
    "NominalPercentageOfCardiacPhase",
    "AcquisitionDate",
    "AcquisitionTime",
    "AcquisitionDateTime",
    "ContentTime",
    "ContrastBolusAgent",
    "ScanOptions",
    "FilterType",
    "ConvolutionKernel",
    "KVP",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "PixelSpacing",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "RescaleIntercept",
    "RescaleSlope",
    "RescaleType",
    "LossyImageCompression",
]


class NotDicom(Exception):
    """The file is no DICOM file, or too damaged to say what it is."""


@dataclass(frozen=True)
class Header:
    """One file and the attributes of KEYWORDS that it has; values are read on demand and never raise."""

    path: Path
    dataset: Dataset
    transfer_syntax: (
        str | None
    )  # None: not stated, and one of the native ones of little endian; several: joined as by text()
    _values: dict = field(
        default_factory=dict, compare=False, repr=False
    )  # read once: pydicom takes 30 us for each look

    def text(self, keyword: str) -> str:
        """The value as stripped text; several values joined by a backslash; "" where absent or unreadable."""
        return self._once(keyword, _text)

    def words(self, keyword: str) -> list[str]:
        """The single values of a multi-valued text, in capitals."""
        return [word for word in self.text(keyword).upper().split("\\") if word]

    def number(self, keyword: str) -> float | None:
        """The value as a finite float, or None where absent or unreadable."""
        values = self.numbers(keyword, 1)
        return values[0] if values else None

    def numbers(self, keyword: str, count: int) -> tuple[float, ...] | None:
        """Exactly `count` finite floats, or None."""
        values = self._once(keyword, _floats)
        return values if len(values) == count else None

    def needed(self, keyword: str) -> float:
        """number(), of what no CT is used without (accept.check_headers). Raises UnusableInput where it is missing."""
        return self.all_needed(keyword, 1)[0]

    def all_needed(self, keyword: str, count: int) -> tuple[float, ...]:
        """numbers(), likewise."""
        values = self.numbers(keyword, count)
        if values is None:
            name = dictionary_description(keyword)
            raise UnusableInput(f"{self.path.name} has no usable {name}. Export the series again from the scanner.")
        return values

    def has(self, keyword: str) -> bool:
        return self.text(keyword) != ""

    @cached_property
    def identity(self) -> Identity:
        """What the file says of its patient."""
        return Identity.of(self.dataset)

    def _once(self, keyword: str, convert):
        if (keyword, convert) not in self._values:
            self._values[keyword, convert] = convert(value_of(self.dataset, keyword))
        return self._values[keyword, convert]


def value_of(dataset: Dataset, keyword: str):
    """The value as pydicom converts it; None where absent or unreadable."""
    try:
        return dataset.get(keyword)
    except Exception:  # noqa: BLE001 - pydicom converts when first asked, and raises a dozen kinds for damaged values
        return None


def read_header(path: Path) -> Header:
    """Read the attributes of KEYWORDS of one file. Raises NotDicom; OSError where the file cannot be opened."""
    with path.open("rb") as file:
        start = file.read(PREAMBLE + 4)
        bare = start[PREAMBLE:] != b"DICM"
        if bare and start[:2] not in BARE_STARTS:
            raise NotDicom
        file.seek(0)
        try:
            dataset = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=KEYWORDS, force=bare)
        except OSError:
            raise
        except Exception as error:  # whatever pydicom stumbles over: the file is not usable
            raise NotDicom from error
    header = Header(path, dataset, _transfer_syntax(dataset))
    if not header.has("SOPClassUID") and not header.has("Modality"):
        raise NotDicom
    return header


def _transfer_syntax(dataset: Dataset) -> str | None:
    """What the meta header says, once where it says it twice;
    where it says nothing, what pydicom told from the bytes."""
    meta = getattr(dataset, "file_meta", None)
    stated = _text(value_of(meta, "TransferSyntaxUID")) if meta is not None else ""
    if stated:
        return "\\".join(dict.fromkeys(stated.split("\\")))
    encoding = getattr(dataset, "original_encoding", None)  # pydicom 3
    little_endian = encoding[1] if encoding else dataset.read_little_endian
    return ExplicitVRBigEndian if little_endian is False else None


def _text(value) -> str:
    try:
        return "\\".join(str(part).strip(PADDING) for part in _as_list(value))
    except Exception:  # noqa: BLE001 - names are decoded only here, and nested items only here printed
        return ""


def _floats(value) -> tuple[float, ...]:
    """All of them, finite, or none."""
    try:
        values = tuple(float(part) for part in _as_list(value))
    except (TypeError, ValueError, OverflowError):
        return ()
    return values if all(map(math.isfinite, values)) else ()


def _as_list(value) -> list:
    if value is None or isinstance(value, (str, bytes)):
        return [] if value is None or value == "" else [value]
    try:
        return list(value)
    except TypeError:
        return [value]
