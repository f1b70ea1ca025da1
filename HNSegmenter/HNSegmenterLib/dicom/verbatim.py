"""Data elements that keep the bytes of their file.

pydicom decodes a text when it is first asked for and writes it anew: bytes that do not fit the stated Specific
Character Set, padding, and much that is written otherwise than the standard has it come out changed.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import pydicom
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag

CHARACTER_SET = "SpecificCharacterSet"
# What an RTSTRUCT has from its CT: Patient module (PS3.3 C.7.1.1), General Study module (C.7.2.1), and of the Frame of
# Reference module (C.7.4.1) its one text.
CARRIED = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PositionReferenceIndicator",
)
_VALUE = vars(DataElement)["value"]  # the property, which type checkers take for its value
_BYTE_ORDERED = {"AT", "FD", "FL", "OD", "OF", "OL", "OV", "OW", "SL", "SS", "SV", "UL", "US", "UV"}


class Verbatim(DataElement):
    """A data element whose value is for reading, and whose content is what is written.

    content: the bytes as they stood in the file, padding and all (an odd number, which DICOM forbids, has one byte of
    padding more); None once another value was set.
    """

    def __init__(self, tag: BaseTag, vr: str, content: bytes, value: object):
        super().__init__(tag, vr, value, already_converted=True)
        self.content: bytes | None = content

    @_VALUE.setter
    def value(self, value: object) -> None:
        self.content = None
        _VALUE.fset(self, value)


def read(source: Path | bytes, **options) -> Dataset:
    """A DICOM file, whose Specific Character Set and CARRIED elements are Verbatim, those within a sequence too.

    Of these, what cannot be read at all (a damaged sequence) goes. options and exceptions are pydicom.dcmread's.
    """
    with source.open("rb") if isinstance(source, Path) else BytesIO(source) as file:
        dataset = pydicom.dcmread(file, **options)
        _keep_character_set(dataset, file)
    for keyword in CARRIED:
        _keep(dataset, Tag(keyword))
    return dataset


def content_of(dataset: Dataset, keyword: str) -> bytes | None:
    """An element's bytes where they are at hand, else None: as read and not asked for yet, or Verbatim."""
    tag = Tag(keyword)
    element = dataset.get_item(tag) if tag in dataset else None
    if isinstance(element, RawDataElement):
        return element.value or b""
    return element.content if isinstance(element, Verbatim) else None


def character_set(dataset: Dataset) -> list[str]:
    """The values of Specific Character Set, be they sense or not; [] for none."""
    content = content_of(dataset, CHARACTER_SET)
    stated = dataset.get(CHARACTER_SET) if content is None else content.decode("latin-1")
    values = stated.split("\\") if isinstance(stated, str) else stated or []
    terms = [value.strip("\0 ") for value in values]
    return terms if any(terms) else []


def _keep_character_set(dataset: Dataset, file: BinaryIO) -> None:
    """pydicom has asked for this one while reading,
    so its bytes are looked up (in a deflated file they are not found)."""
    element = dataset.get(Tag(0x0008, 0x0005))
    if element is None or element.file_tell is None:
        return
    file.seek(element.file_tell - 8)
    head = file.read(8)
    length = head[6:] if head[4:6].isalpha() else head[4:]  # explicit VR: of two bytes
    content = file.read(int.from_bytes(length, "little" if head[:1] == b"\x08" else "big"))
    stated = element.value if isinstance(element.value, str) else "\\".join(element.value or [])
    if content.decode("latin-1").rstrip("\0 ") == stated.rstrip("\0 "):
        dataset[element.tag] = Verbatim(element.tag, "CS", content + b" " * (len(content) % 2), element.value)


def _keep(dataset: Dataset, tag: BaseTag) -> None:
    if tag not in dataset:
        return
    raw = dataset.get_item(tag)
    try:
        element = dataset[tag]
    except Exception:  # noqa: BLE001 - pydicom raises a dozen kinds for damaged values
        element = None
    kept = _kept(raw, element)
    if kept is not None:
        dataset[tag] = kept
    else:
        del dataset[tag]


def _kept(raw: RawDataElement | DataElement, element: DataElement | None) -> DataElement | None:
    """raw: as it was read; element: the same, converted by pydicom, or None if it cannot be."""
    if element is not None and element.VR == "SQ":
        return DataElement(raw.tag, "SQ", Sequence([_item(item) for item in element.value]))
    vr = _vr(raw)
    if not isinstance(raw, RawDataElement) or vr == "SQ" or (not raw.is_little_endian and vr in _BYTE_ORDERED):
        return element
    content = raw.value or b""
    if len(content) % 2:
        content += b" " if vr not in ("OB", "UI", "UN") else b"\0"
    return Verbatim(raw.tag, vr, content, element.value if element is not None else content.decode("latin-1"))


def _item(item: Dataset) -> Dataset:
    kept = Dataset()
    for tag in sorted(item.keys()):
        _keep(item, tag)
        if tag in item and tag.element:  # (gggg,0000) would tell a group's length in the file it came from
            kept[tag] = item[tag]
    return kept


def _vr(raw: RawDataElement | DataElement) -> str:
    """The dictionary's, whatever the file states;
    the file's for what is not in it, or not a sequence as it should be."""
    try:
        known = dictionary_VR(raw.tag)
    except KeyError:
        known = ""
    stated = raw.VR or "UN"
    return known if len(known) == 2 and (known != "SQ" or stated == "UN") else stated
