"""The one function that completes and checks every RTSTRUCT, whoever drew its contours."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from .. import __version__
from ..dicom.identity import Identity, compare, remark
from ..errors import UnusableInput, WrongUsage
from ..result import Organ, model_name
from ..silent_libraries import quiet
from . import header
from .character_set import CharacterSet
from .names import NameTable, check_roi_name
from .pairing import pair
from .placing import Placer
from .rois import (
    AUTOMATIC,
    LONGEST_LO,
    MANUAL,
    SEMIAUTOMATIC,
    Roi,
    generation_description,
    interpreted_type,
    models_of,
    roi_description,
    set_description,
)
from .writer import build

if TYPE_CHECKING:
    from ..dicom import PlanningCT

RT_STRUCTURE_SET_STORAGE = "1.2.840.10008.5.1.4.1.1.481.3"
CLIENT = f"HN Segmenter {__version__}"
_SERIES_NUMBER = 901  # any: the standard has it optional, archives index by it
_LABEL_LENGTH = 16  # Structure Set Label is of VR SH


@dataclass
class Options:
    """What a caller may choose.

    label: Structure Set Label, 1 to 16 characters. names: the clinic's own ROI names. algorithms: TG-263 name ->
    AUTOMATIC | SEMIAUTOMATIC | MANUAL, where contours were edited (else AUTOMATIC for the model's organs, MANUAL for
    all others). types: name -> RT ROI Interpreted Type, where the name does not tell it. remarks: sentences on the
    whole scan, for the description. series_description: LO, 64 characters. now: the time written in the file.
    left_out: TG-263 names of organs that were found and that a user took out: the description says so.
    """

    label: str = "HN Segmenter"
    names: NameTable = field(default_factory=NameTable)
    algorithms: Mapping[str, str] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    remarks: Sequence[str] = ()
    series_description: str = "HN Segmenter: automatic contours, to be reviewed"
    now: datetime | None = None
    left_out: Collection[str] = ()


def complete(
    dataset: Dataset,
    ct: PlanningCT,
    model: dict | None,
    organs: Sequence[Organ],
    options: Options | None = None,
    warn: Callable[[str], None] = lambda _sentence: None,
) -> Dataset:
    """A new RTSTRUCT on the original CT with the ROI names, colours and contours of `dataset`.

    Contours are matched to the slices of `ct` by geometry: the slices and series that `dataset` names count for
    nothing (SlicerRT makes them refer to a copy of the CT). Contours inside others of the same ROI become holes by
    keyhole, those without area or of no ROI go, as do repeats; `warn` gets a sentence for each such change. An organ of
    the model without a contour gets a line in the description.
    model: name, version and digest of that which drew organs that do not say theirs, or None if none was used.

    Raises UnusableInput if the contours belong to another patient or CT, cannot be told to be one ROI's, lie in no
    slice's plane or outside the image, cross, or none is left; WrongUsage if a name or option cannot be written.
    """
    with quiet():
        return _completed(dataset, ct, model, organs, options or Options(), warn)


def _completed(
    dataset: Dataset,
    ct: PlanningCT,
    model: dict | None,
    organs: Sequence[Organ],
    options: Options,
    warn: Callable[[str], None],
) -> Dataset:
    _check_options(options, organs)
    require_same_subject(dataset, ct, warn)
    rois = _rois(dataset, ct, model, organs, options, warn)
    completed = build(ct, rois)
    header.copy_patient_and_study(ct, completed)
    names = [roi.name for roi in rois] + [options.names.own_name(organ.name) for organ in organs]
    header.choose_character_set(ct, completed, [options.label, options.series_description, *names])
    models = models_of(model, organs)
    _add_general_modules(completed, ct, models, options)
    missing = [_missing_line(organ, options) for organ in organs if not any(roi.organ is organ for roi in rois)]
    completed.StructureSetDescription = set_description(models, CLIENT, missing, options.remarks)
    _replace_unencodable(completed)
    return completed


def _check_options(options: Options, organs: Sequence[Organ]) -> None:
    if not 1 <= len(options.label) <= _LABEL_LENGTH or "\\" in options.label:
        raise WrongUsage(
            f"The structure set's label {options.label!r} must have 1 to {_LABEL_LENGTH} characters, no backslash."
        )
    check_roi_name(options.series_description, "the series description")
    unknown = set(options.algorithms.values()) - {AUTOMATIC, SEMIAUTOMATIC, MANUAL}
    if unknown:
        raise WrongUsage(
            f"{min(unknown)!r} is no ROI Generation Algorithm: use {AUTOMATIC}, {SEMIAUTOMATIC} or {MANUAL}."
        )
    options.names.check_against(organ.name for organ in organs)


def require_same_subject(dataset: Dataset, ct: PlanningCT, warn: Callable[[str], None]) -> None:
    """Raises UnusableInput for contours of another patient, or of another study in another frame of reference."""
    own, drawn = Identity.of(ct.header), Identity.of(dataset)
    if drawn.stated:
        if decisive := compare(own, drawn).decisive:
            raise UnusableInput(
                f"The structure set belongs to another patient than the CT (their {decisive} "
                "differs): choose the CT it was drawn on."
            )
        if said := remark([own, drawn], "The structure set and the CT"):
            warn(said)
    study = str(dataset.get("StudyInstanceUID") or "").strip()
    if study and study != ct.study_uid and ct.frame_of_reference_uid not in _frames(dataset):
        raise UnusableInput(
            "The structure set names another study and another Frame of Reference "
            "than the CT: choose the CT it was drawn on."
        )


def _frames(dataset: Dataset) -> set[str]:
    items = [
        *(dataset.get("ReferencedFrameOfReferenceSequence") or []),
        *(dataset.get("StructureSetROISequence") or []),
    ]
    keywords = ("FrameOfReferenceUID", "ReferencedFrameOfReferenceUID")
    return {str(item[keyword].value).strip() for item in items for keyword in keywords if keyword in item}


def _rois(
    dataset: Dataset,
    ct: PlanningCT,
    model: dict | None,
    organs: Sequence[Organ],
    options: Options,
    warn: Callable[[str], None],
) -> list[Roi]:
    by_name = {organ.name: organ for organ in organs}
    only = model if len(models_of(model, organs)) < 2 else None  # of several, which drew what is no organ is not known
    pairing = pair(dataset)
    for sentence in pairing.remarks():
        warn(sentence)
    placer = Placer(ct)
    rois: list[Roi] = []
    for drawn in pairing.rois:
        name = options.names.organ_of(drawn.name)
        organ = by_name.get(name)
        algorithm = options.algorithms.get(name, AUTOMATIC if organ is not None else MANUAL)
        drew = (organ.model if organ is not None else None) or only
        roi = Roi(
            name=options.names.own_name(name),
            organ=organ,
            contours=placer.place(name, drawn.contours),
            algorithm=algorithm,
            interpreted_type=options.types.get(name) or interpreted_type(name),
            description=roi_description(organ, algorithm, drew),
            generation=generation_description(algorithm, drew),
            model=None if algorithm == MANUAL else drew,
            color=drawn.color,
        )
        check_roi_name(roi.name, "an ROI's name")
        if any(roi.name.casefold() == other.name.casefold() for other in rois):
            raise UnusableInput(f"Two ROIs are called {roi.name!r}: give each a name of its own.")
        if roi.contours:
            rois.append(roi)
        else:
            warn(f"{roi.name} has no contour on any slice: it was left out.")
    for sentence in placer.warnings():
        warn(sentence)
    if not rois:
        raise UnusableInput("No organ has a contour: there is nothing to write in an RTSTRUCT.")
    return rois


def _missing_line(organ: Organ, options: Options) -> str:
    status = organ.status if not organ.found else "found, but no contour on any slice"
    if organ.name in options.left_out:
        status = "found, but left out"
    return f"{options.names.own_name(organ.name)}: {status}."


def _add_general_modules(dataset: Dataset, ct: PlanningCT, models: Sequence[dict], options: Options) -> None:
    """SOP Common, RT Series, General Equipment, Frame of Reference, Structure Set and Approval modules."""
    names = [name for name in map(model_name, models) if name]
    now = options.now or datetime.now()
    date, time = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    dataset.SOPClassUID = RT_STRUCTURE_SET_STORAGE
    dataset.SOPInstanceUID = generate_uid(prefix=None)
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = date, time
    dataset.Modality = "RTSTRUCT"
    dataset.SeriesInstanceUID = generate_uid(prefix=None)
    dataset.SeriesNumber = _SERIES_NUMBER
    dataset.SeriesDescription = options.series_description
    dataset.SeriesDate, dataset.SeriesTime = date, time
    dataset.OperatorsName = None
    dataset.Manufacturer = "HN Segmenter"
    dataset.ManufacturerModelName = "HN Segmenter"
    dataset.SoftwareVersions = [__version__, *(name[:LONGEST_LO] for name in names)] if names else __version__
    dataset.FrameOfReferenceUID = ct.frame_of_reference_uid
    dataset.InstanceNumber = 1
    dataset.StructureSetLabel = options.label
    name = " ".join(["HN Segmenter", *([", ".join(names)] if names else [])])
    if len(name) > LONGEST_LO and len(names) > 1:
        name = f"HN Segmenter, {len(names)} models"
    dataset.StructureSetName = name[:LONGEST_LO]
    dataset.StructureSetDate, dataset.StructureSetTime = date, time
    dataset.ReferencedFrameOfReferenceSequence = header.referenced_frame_of_reference(ct)
    dataset.ApprovalStatus = "UNAPPROVED"


def _replace_unencodable(dataset: Dataset) -> None:
    """Sentences come from elsewhere: a character that the character set lacks becomes a question mark,
    never a fault."""
    stated = CharacterSet.of(dataset)
    dataset.StructureSetDescription = stated.fitted(dataset.StructureSetDescription)
    for item in dataset.StructureSetROISequence:
        item.ROIDescription = stated.fitted(item.ROIDescription)
        if "ROIGenerationDescription" in item:
            item.ROIGenerationDescription = stated.fitted(item.ROIGenerationDescription)
