"""What an RTSTRUCT takes over from its CT: patient, study, frame of reference, character set, every slice."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from pydicom.charset import convert_encodings, decode_bytes, encode_string
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from ..errors import UnusableInput, WrongUsage

if TYPE_CHECKING:
    from ..dicom import PlanningCT

_PATIENT_AND_STUDY = (  # Patient module (C.7.1.1) and General Study module (C.7.2.1)
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
)
_MAY_BE_EMPTY = (  # type 2 of these modules: present even if the CT lacks them
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
STUDY_COMPONENT = "1.2.840.10008.3.1.2.3.1"  # Detached Study Management: retired, what planning systems write here


def copy_patient_and_study(ct: PlanningCT, dataset: Dataset) -> None:
    """Copy the modules' elements as they are, the Specific Character Set first."""
    if ct.header.get("SpecificCharacterSet"):
        dataset.add(copy.deepcopy(ct.header["SpecificCharacterSet"]))
    for keyword in _PATIENT_AND_STUDY:
        if keyword in ct.header:
            dataset.add(copy.deepcopy(ct.header[keyword]))
        elif keyword in _MAY_BE_EMPTY:
            setattr(dataset, keyword, None)


def choose_character_set(ct: PlanningCT, dataset: Dataset, texts: list[str]) -> None:
    """See to it that our own texts can be written beside the patient's.

    The CT's character set stays wherever it can hold them. A CT of plain ASCII gets ISO_IR 100 or, for more, UTF-8:
    its own values keep their bytes. Raises WrongUsage if neither is possible.
    """
    stated = ct.header.get("SpecificCharacterSet") or ""
    if all(_encodable(text, stated) for text in texts):
        return
    if _is_ascii(ct.header):
        for wider in ("ISO_IR 100", "ISO_IR 192"):
            if all(_encodable(text, wider) for text in texts):
                dataset.SpecificCharacterSet = wider
                return
    named = stated if isinstance(stated, str) else "\\".join(stated)
    bad = next(text for text in texts if not _encodable(text, stated))
    raise WrongUsage(
        f"The name {bad!r} cannot be written in the CT's character set ({named or 'ASCII'}): "
        "use plain ASCII letters in the name table."
    )


def _encodable(text: str, character_set: object) -> bool:
    if text.isascii():
        return True
    if not character_set:
        return False
    encodings = convert_encodings(character_set if isinstance(character_set, str) else list(character_set))
    try:
        return text == encode_and_decode(text, encodings)
    except (UnicodeError, ValueError):
        return False


def encode_and_decode(text: str, encodings: list[str]) -> str:
    """What a reader will see of `text`; characters outside the character set become question marks."""
    return decode_bytes(encode_string(text, encodings), encodings, set())


def _is_ascii(header: Dataset) -> bool:
    return all(str(header[keyword].value).isascii() for keyword in _PATIENT_AND_STUDY if keyword in header)


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
