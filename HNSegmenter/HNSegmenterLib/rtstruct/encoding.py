"""A data set to the bytes of a DICOM file. What is carried over keeps its bytes, whatever they are."""

from __future__ import annotations

from struct import pack

from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element, write_file_meta_info
from pydicom.tag import BaseTag
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from .. import __version__
from ..dicom.verbatim import Verbatim
from ..errors import RuntimeFault
from .character_set import CharacterSet

# A UUID-derived UID (PS3.5 B.2) that stands for this program.
IMPLEMENTATION_CLASS_UID = UID("2.25.292174078368919629743482080649450246350")
_ITEM = b"\xfe\xff\x00\xe0"  # (FFFE,E000) in little endian


def dicom_file(dataset: Dataset, syntax: UID = ExplicitVRLittleEndian) -> bytes:
    """A data set as a DICOM file, in Explicit or Implicit VR Little Endian.

    Verbatim elements, and those of a data set of ours that was read and not asked for their values, keep their bytes;
    all others are written in the stated character set. Raises RuntimeFault, which names the element, if one cannot be.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = f"HNSEG_{__version__}"[:16]
    file = _buffer(implicit=False)
    file.write(b"\0" * 128 + b"DICM")
    write_file_meta_info(file, meta, enforce_standard=True)
    file.write(_encoded(dataset, CharacterSet.of(dataset).codecs, syntax == ImplicitVRLittleEndian))
    return file.getvalue()


def _encoded(dataset: Dataset, codecs: list[str], implicit: bool) -> bytes:
    buffer = _buffer(implicit)
    for tag in sorted(dataset.keys()):
        try:
            write_data_element(buffer, _writable(dataset, tag, codecs, implicit), codecs)
        except RuntimeFault:  # of an element within this one
            raise
        except Exception as error:  # pydicom raises a dozen kinds; what they say quotes the value
            raise RuntimeFault(
                f"The RTSTRUCT cannot be written: {keyword_for_tag(tag) or tag} holds what "
                "DICOM cannot. Use plain ASCII letters there."
            ) from error
    return buffer.getvalue()


def _writable(dataset: Dataset, tag: BaseTag, codecs: list[str], implicit: bool) -> DataElement | RawDataElement:
    """The element as pydicom writes it as it is meant: raw bytes where those are known."""
    element = dataset.get_item(tag)
    if isinstance(element, Verbatim) and element.content is not None:
        return _raw(tag, element.VR, element.content, implicit)
    if isinstance(element, RawDataElement) and element.is_little_endian and element.VR not in (None, "SQ"):
        return element
    element = dataset[tag]
    if element.VR != "SQ":
        return element
    items = [_encoded(item, codecs, implicit) for item in element.value]
    return _raw(tag, "SQ", b"".join(_ITEM + pack("<L", len(item)) + item for item in items), implicit)


def _raw(tag: BaseTag, vr: str, content: bytes, implicit: bool) -> RawDataElement:
    return RawDataElement(tag, vr, len(content), content, 0, implicit, True)


def _buffer(implicit: bool) -> DicomBytesIO:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, implicit
    return buffer
