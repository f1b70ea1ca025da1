"""What an RTSTRUCT takes over from its CT: patient, study, frame of reference, character set, every slice."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from ..dicom.verbatim import CARRIED, CHARACTER_SET, Verbatim
from ..errors import UnusableInput, WrongUsage
from .character_set import CharacterSet

if TYPE_CHECKING:
    from ..dicom import PlanningCT

_MAY_BE_EMPTY = (  # type 2 of their modules: present even if the CT lacks them
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PositionReferenceIndicator",
)
ESCAPE = "\x1b"
STUDY_COMPONENT = "1.2.840.10008.3.1.2.3.1"  # Detached Study Management: retired, what planning systems write here


def copy_patient_and_study(ct: PlanningCT, dataset: Dataset) -> None:
    """Copy the modules' elements byte for byte, the Specific Character Set that they came with first."""
    if CharacterSet.of(ct.header).terms:
        dataset[CHARACTER_SET] = copy.deepcopy(ct.header[CHARACTER_SET])
    for keyword in CARRIED:
        if keyword in ct.header:
            dataset[keyword] = copy.deepcopy(ct.header[keyword])
        elif keyword in _MAY_BE_EMPTY:
            setattr(dataset, keyword, None)


def choose_character_set(ct: PlanningCT, dataset: Dataset, texts: list[str]) -> None:
    """See to it that our own texts can be written beside the patient's.

    The CT's character set stays wherever it can hold them. A CT of plain ASCII gets ISO_IR 100 or, for more, UTF-8:
    its own values keep their bytes. Raises WrongUsage if neither is possible.
    """
    stated = CharacterSet.of(ct.header)
    if all(map(stated.holds, texts)):
        return
    if _is_ascii(ct.header):
        for wider in ("ISO_IR 100", "ISO_IR 192"):
            if all(map(CharacterSet((wider,)).holds, texts)):
                dataset.SpecificCharacterSet = wider
                return
    bad = next(text for text in texts if not stated.holds(text))
    raise WrongUsage(
        f"The name {bad!r} cannot be written in the CT's character set "
        f"({stated if stated.known else 'not a known one'}): use plain ASCII letters in the name table."
    )


def _is_ascii(header: Dataset) -> bool:
    """Whether what is carried over reads the same in ASCII: without escape sequences, which are of ASCII bytes too."""
    return all(_reads_as_ascii(header[keyword]) for keyword in CARRIED if keyword in header)


def _reads_as_ascii(element: DataElement) -> bool:
    if element.VR == "SQ":
        return all(_reads_as_ascii(inner) for item in element.value for inner in item)
    content = element.content if isinstance(element, Verbatim) else None
    text = str(element.value) if content is None else content.decode("latin-1")
    return text.isascii() and ESCAPE not in text


def referenced_frame_of_reference(ct: PlanningCT) -> Sequence:
    """Frame of Reference -> study -> series -> every slice of the original CT. Raises UnusableInput without a frame."""
    if not ct.frame_of_reference_uid:
        raise UnusableInput(
            f"Series {ct.series_uid} names no Frame of Reference, so no RTSTRUCT can refer to it: "
            "export it again from the scanner or the planning system."
        )
    series = Dataset()
    series.SeriesInstanceUID = ct.series_uid
    series.ContourImageSequence = Sequence([image_reference(s.sop_class_uid, s.sop_instance_uid) for s in ct.slices])
    study = Dataset()
    study.ReferencedSOPClassUID = STUDY_COMPONENT
    study.ReferencedSOPInstanceUID = ct.study_uid
    study.RTReferencedSeriesSequence = Sequence([series])
    frame = Dataset()
    frame.FrameOfReferenceUID = ct.frame_of_reference_uid
    frame.RTReferencedStudySequence = Sequence([study])
    return Sequence([frame])


def image_reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class_uid
    item.ReferencedSOPInstanceUID = sop_instance_uid
    return item
