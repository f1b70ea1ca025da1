"""An RTSTRUCT to disk and back: whole and checked, or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydicom.charset import decode_bytes
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from ..dicom.verbatim import CARRIED, CHARACTER_SET, Verbatim, content_of, read
from ..errors import HNSegmenterError, RuntimeFault
from ..silent_libraries import quiet
from .character_set import CharacterSet
from .encoding import dicom_file
from .readback import require_contours
from .tracing.contours import SliceContour
from .writer import contour_points


@quiet()
def write(dataset: Dataset, path: Path, asked: Mapping[str, Sequence[SliceContour]] | None = None) -> None:
    """Write a completed RTSTRUCT in Explicit VR Little Endian.

    What is written is read and compared before, and once more from the disk, where it lies beside `path` until it is
    renamed to it. asked: ROI name -> the contours that its author drew, to be compared too; None where the author does
    that. Raises RuntimeFault if a text cannot be written or something comes out as another, HNSegmenterError if the
    disk refuses or gives back something else; nothing is left then.
    """
    path = Path(path)
    content = dicom_file(dataset)
    again = read(content)
    _require_equal(dataset, again)
    if asked is not None:
        require_contours(again, asked)
    partial = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        if partial.read_bytes() != content:
            raise HNSegmenterError(
                "The RTSTRUCT did not read back as it was written: nothing was kept. Try another disk."
            )
        partial.replace(path)
    except OSError as error:
        raise HNSegmenterError(
            f"The RTSTRUCT could not be written to {path} ({error.strerror or error}): check space and rights there."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def _require_equal(dataset: Dataset, again: Dataset) -> None:
    """Raises RuntimeFault unless every element, ROI, contour and point came back as it was.

    What was carried over is compared by its bytes, those of the CT's file.
    """
    meant, found = _summary(dataset), _summary(again)
    if wrong := next((what for what in meant if meant[what] != found[what]), None):
        raise RuntimeFault(f"The RTSTRUCT would not say what it should ({wrong}): nothing was written. Report it.")


def _summary(dataset: Dataset) -> dict[str, object]:
    codecs = CharacterSet.of(dataset).codecs
    carried = {
        keyword: _content(dataset[keyword]) if keyword in dataset else None for keyword in (CHARACTER_SET, *CARRIED)
    }
    texts = {keyword: _text(dataset, keyword, codecs) for keyword in _OWN}
    slices = [
        image.ReferencedSOPInstanceUID
        for frame in dataset.ReferencedFrameOfReferenceSequence
        for study in frame.RTReferencedStudySequence
        for series in study.RTReferencedSeriesSequence
        for image in series.ContourImageSequence
    ]
    names = [
        (item.ROINumber, _text(item, "ROIName", codecs), item.ReferencedFrameOfReferenceUID)
        for item in dataset.StructureSetROISequence
    ]
    contours = [
        (roi.ReferencedROINumber, item.ContourImageSequence[0].ReferencedSOPInstanceUID, contour_points(item).tobytes())
        for roi in dataset.ROIContourSequence
        for item in roi.ContourSequence
    ]
    return {**carried, **texts, "slices": slices, "ROIs": names, "contours": contours}


def _content(element: DataElement) -> object:
    """The bytes; of a sequence, those of its items' elements. A value that we set ourselves is ASCII."""
    if element.VR == "SQ":
        return [{inner.tag: _content(inner) for inner in item} for item in element.value]
    if isinstance(element, Verbatim) and element.content is not None:
        return element.content
    content = str(element.value or "").encode("ascii", "replace")
    return content + b" " * (len(content) % 2)


def _text(dataset: Dataset, keyword: str, codecs: list[str]) -> str:
    """One of our own texts, in the character set as we understand it."""
    content = content_of(dataset, keyword)
    text = str(dataset.get(keyword) or "") if content is None else decode_bytes(content, codecs, set())
    return text.rstrip(" \0")


_OWN = ("SOPInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "StructureSetLabel", "StructureSetDescription")
