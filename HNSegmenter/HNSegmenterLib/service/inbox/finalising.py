"""What a structure set says of its review: finalised by a named reviewer, approved or not for one destination."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import UID

from ...errors import UnusableInput, WrongUsage
from ...result import Organ, Result
from ...rtstruct import NameTable, Options, SliceContour, complete, write
from ...rtstruct.complete import RT_STRUCTURE_SET_STORAGE
from ...rtstruct.header import choose_character_set
from ...rtstruct.pairing import pair
from ...rtstruct.rois import AUTOMATIC, MANUAL, REVIEW, SEMIAUTOMATIC
from ...silent_libraries import quiet
from .identifying import identified

if TYPE_CHECKING:
    from ...dicom import PlanningCT

REVIEWED_SERIES = "HN Segmenter: contours, reviewed"
NOT_REVIEWED = "NOT REVIEWED"  # a label of 12 characters, SH has 16
NOT_REVIEWED_LINE = f"{NOT_REVIEWED}: drawn by an automatic method and sent before anybody looked at it."
_ST, _PERSON_NAME = 1024, 64  # PS3.5 6.2: characters of a Short Text, of a Person Name's component group


def check_reviewer(name: str) -> str:
    """The name as it can stand in a Person Name (PN). Raises WrongUsage."""
    name = name.strip()
    if not name:
        raise WrongUsage("The reviewer's name is missing: nothing is approved or rejected without one.")
    if (
        len(name) > _PERSON_NAME
        or "\\" in name
        or "=" in name
        or any(ord(letter) < 32 or ord(letter) == 127 for letter in name)
    ):
        raise WrongUsage(
            f"The reviewer's name must have at most {_PERSON_NAME} characters, no backslash or equals sign."
        )
    return name


@quiet()
def read_rtstruct(content: bytes) -> Dataset:
    """An RTSTRUCT from a file's bytes. Raises UnusableInput if it is none."""
    try:
        dataset = pydicom.dcmread(BytesIO(content))
    except Exception as error:  # whatever pydicom stumbles over: the file is not usable
        raise UnusableInput("The structure set is no readable DICOM file: save it again.") from error
    if dataset.get("SOPClassUID") != RT_STRUCTURE_SET_STORAGE:
        raise UnusableInput("The file is no RTSTRUCT: give the structure set that was reviewed.")
    return dataset


@quiet()
def finalised(
    drawn: Dataset,
    ct: PlanningCT,
    result: Result,
    reviewer: str,
    now: datetime,
    warn: Callable[[str], None] = lambda _sentence: None,
) -> Dataset:
    """A new UNAPPROVED RTSTRUCT with UIDs of its own:
    the contours of `drawn`, completed and checked on the original CT.

    Who drew each ROI is taken from `drawn`. warn gets a sentence for everything that will differ from `drawn`. Raises
    as rtstruct.complete does; WrongUsage also for a reviewer's name that the CT's character set cannot hold.
    """
    options = _options(drawn, result.organs, now, warn)
    dataset = complete(drawn, ct, result.model, result.organs, options, warn)
    names = [str(item.ROIName) for item in dataset.StructureSetROISequence]
    try:
        choose_character_set(ct, dataset, [options.label, options.series_description, *names, reviewer])
    except WrongUsage as fault:
        raise WrongUsage(
            f"The reviewer's name {reviewer!r} cannot be written beside this patient's: use plain letters."
        ) from fault
    line = f"Reviewed by {reviewer}, {now:%Y-%m-%d %H:%M}."
    dataset.StructureSetDescription = _first_line(line, dataset.StructureSetDescription)
    for item in dataset.StructureSetROISequence:
        item.ROIDescription = item.ROIDescription.replace(REVIEW, f"Reviewed by {reviewer}.")[:_ST]
    return dataset


@quiet()
def approve(dataset: Dataset, reviewer: str, time: datetime) -> None:
    """Approval module (PS3.3 C.8.8.16): APPROVED, by whom and when in the reviewer's own time zone."""
    dataset.ApprovalStatus = "APPROVED"
    dataset.ReviewerName = reviewer
    dataset.ReviewDate, dataset.ReviewTime = f"{time:%Y%m%d}", f"{time:%H%M%S}"


@quiet()
def mark_not_reviewed(dataset: Dataset, sop_instance_uid: str) -> None:
    """For a destination that gets structure sets without a review: says so wherever a planning system shows a text."""
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
    dataset.StructureSetLabel = NOT_REVIEWED
    dataset.StructureSetName = f"{NOT_REVIEWED} {dataset.get('StructureSetName', '')}".strip()[:64]
    dataset.SeriesDescription = f"{NOT_REVIEWED}: HN Segmenter, automatic contours"
    dataset.StructureSetDescription = _cut(
        [NOT_REVIEWED_LINE, *str(dataset.get("StructureSetDescription") or "").split("\r\n")]
    )
    dataset.ApprovalStatus = "UNAPPROVED"


def to_bytes(dataset: Dataset, folder: Path, reviewed: Mapping[str, Sequence[SliceContour]]) -> bytes:
    """The DICOM file, written into the folder, read back and compared before it counts. Raises HNSegmenterError.

    reviewed: ROI name -> the contours that were approved under it, as rtstruct.placed reads them.
    """
    path = folder / "reviewed.dcm"
    write(dataset, path, reviewed)
    return path.read_bytes()


def _options(drawn: Dataset, organs: Sequence[Organ], now: datetime, warn: Callable[[str], None]) -> Options:
    """Names, authors and kinds of the ROIs as `drawn` has them, by the name under which `complete` looks for them."""
    names: dict[str, str] = {}
    algorithms: dict[str, str] = {}
    types: dict[str, str] = {}
    rois = pair(drawn).rois
    known = identified(rois, organs, warn)
    for roi in rois:
        key = known[roi.number].name if roi.number in known else roi.name
        if key != roi.name:
            names[key] = roi.name
        if roi.item.get("ROIGenerationAlgorithm") in (AUTOMATIC, SEMIAUTOMATIC, MANUAL):
            algorithms[key] = str(roi.item.ROIGenerationAlgorithm)
        if len(roi.interpreted_types) == 1:
            (types[key],) = roi.interpreted_types
        elif roi.interpreted_types:
            warn(
                f"{roi.name} is stated to be {' and '.join(sorted(roi.interpreted_types))}: "
                "its name decides what it is."
            )
    there = {organ.name for organ in known.values()}
    return Options(
        names=NameTable(names),
        algorithms=algorithms,
        types=types,
        series_description=REVIEWED_SERIES,
        now=now,
        left_out={organ.name for organ in organs if organ.found} - there,  # by the reviewer
    )


def _first_line(line: str, description: str) -> str:
    """The description with its sentence that asks for a review replaced by `line`."""
    return _cut([line, *(old for old in description.split("\r\n") if old != REVIEW)])


def _cut(lines: list[str]) -> str:
    """As many lines as a Short Text holds; where some are left out, the last says so."""
    text, more = "\r\n".join(lines), "\r\n..."
    while len(text) > _ST:
        lines = lines[:-1]
        text = "\r\n".join(lines)[: _ST - len(more)] + more
    return text
