"""Compares predictions with the references of a data set, organ by organ and patient by patient.
Nothing is dropped unsaid."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import Cancelled, HNSegmenterError, UnusableInput
from .dataset import CORD, Dataset, Patient, read_image
from .findings import EYES, FALSE, FAR, FAR_MM, SWAPPED, UNANNOUNCED, Finding, swapped_sides, unannounced
from .metrics import Agreement, compare
from .places import Ends, centre, ends
from .prediction import Prediction, organs_tried
from .variations.scan import SLICE_CM2, slice_tissue_cm2

COMPARED, MISSED, NO_REFERENCE, NOT_COUNTED, FAILED = (
    "compared",
    "not predicted",
    "no reference",
    "not counted",
    "failed",
)
ABSENT, FOUND_FALSELY, OUT_OF_VIEW = "rightly not found", "falsely found", "out of view"
LEAST_IN_VIEW = 0.25  # of an organ: what a varied CT shows less of is not scored


@dataclass(frozen=True)
class Row:
    """One organ of one patient, on the CT as it is or varied.

    agreement: of rows compared or missed (Dice 0, no distances); slices: how many counted. ends: of the cord;
    centre_mm: distance of an eye's centre. unchanged: of a varied CT,
        how the prediction on the CT as it is agrees where both are in view.
    """

    patient: str
    organ: str
    status: str
    agreement: Agreement | None = None
    slices: int = 0
    note: str = ""
    ends: Ends | None = None
    centre_mm: float | None = None
    variation: str = ""
    unchanged: Agreement | None = None


@dataclass
class Trial:
    """What became of one patient's CT, as it is or varied."""

    patient: str
    variation: str = ""
    rows: list[Row] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def find(self, kind: str, organ: str, note: str = "") -> None:
        self.findings.append(Finding(kind, self.patient, self.variation, organ, note))


Predict = Callable[[Patient], Prediction]
"""Raises HNSegmenterError."""


def stored_predictions(folder: Path, contours: bool = False) -> Predict:
    """Predictions that exist: folder/<patient>[/segmentations]/<TG-263 name>.nii.gz or
    folder/<patient>/rtstruct.dcm."""

    def predict(patient: Patient) -> Prediction:
        place = folder / patient.name
        if not place.is_dir():
            raise UnusableInput(f"{folder} has no folder {patient.name}.")
        return Prediction(place, patient.read_reference(), contours)

    return predict


@dataclass
class Case:
    """A patient with what was predicted on the CT as it is: references and masks, organ -> bool [k, j, i] on grid."""

    patient: Patient
    grid: sitk.Image
    references: dict[str, np.ndarray]
    masks: dict[str, np.ndarray | None]

    def mask(self, organ: str) -> np.ndarray:
        """All False where there is none."""
        mask = self.masks.get(organ)
        return np.zeros(self.grid.GetSize()[::-1], bool) if mask is None else mask


def try_patient(
    patient: Patient, labels: dict[int, str], predict: Predict, organs: Iterable[str] | None = None
) -> tuple[Trial, Case | None]:
    """A row for each organ on the CT as it is, and what was found on the way;
    one row that says so if the prediction failed.

    labels: value in label.nii.gz -> TG-263 name; organs: which of them, None for those that the prediction has files of
    or, by its result.json, looked for. Case: None if the prediction failed. Raises Cancelled.
    """
    trial = Trial(patient.name)
    try:
        case, prediction = _read(patient, labels, predict(patient), organs)
        sound = _sound_slices(patient, case.grid)
        trial.rows = [compare_organ(case, organ, case.mask(organ), sound) for organ in case.references]
        look_for_faults(trial, case.grid, case.references, case.masks)
        look_for_silence(trial, prediction, case.masks)
        return trial, case
    except Cancelled:
        raise
    except HNSegmenterError as fault:
        trial.rows = [Row(patient.name, "", FAILED, note=fault.sentence)]
        trial.findings = []
        return trial, None


def organs_tried_by_any(dataset: Dataset, folder: Path) -> set[str]:
    """What stored predictions hold in all: an organ that one patient has and another has not was missed there."""
    return {name for patient in dataset.patients for name in organs_tried(folder / patient.name)}


def _read(
    patient: Patient, labels: dict[int, str], prediction: Prediction, organs: Iterable[str] | None
) -> tuple[Case, Prediction]:
    """Raises UnusableInput if a file is unreadable or on another grid."""
    tried = set(organs) if organs is not None else organs_tried(prediction.folder)
    known = {name: value for value, name in labels.items() if name in tried}
    if not known:
        raise UnusableInput(f"{prediction.folder} holds no labelmap of an organ that the label map names.")
    reference = patient.read_reference()
    values = sitk.GetArrayViewFromImage(reference)
    references = {name: values == value for name, value in known.items()}
    return Case(patient, reference, references, {name: prediction.mask(name) for name in known}), prediction


def _sound_slices(patient: Patient, grid: sitk.Image) -> np.ndarray:
    """bool per slice k: with enough tissue for a head or neck, as far as a CT is there to tell."""
    if not patient.ct.is_file():
        return np.ones(grid.GetSize()[2], bool)
    return slice_tissue_cm2(read_image(patient.ct)) >= SLICE_CM2


def compare_organ(case: Case, organ: str, predicted: np.ndarray, sound: np.ndarray) -> Row:
    """The organ on the CT as it is. predicted: bool [k, j, i]; sound: slices k that the cord's ends may lie on."""
    reference = case.references[organ]
    if row := _not_compared(case, organ, predicted):
        return row
    counted = case.patient.counted_slices(organ, reference)
    drawn = reference.any(axis=(1, 2))
    row = replace(_compared(case, organ, predicted, counted), slices=int(np.count_nonzero(counted & drawn)))
    if not predicted.any():
        return row
    return replace(
        row,
        ends=ends(reference, predicted, case.grid, sound & (counted | ~drawn)) if organ == CORD else None,
        centre_mm=centre_distance(reference, predicted, case.grid) if organ in EYES else None,
    )


def compare_varied(case: Case, organ: str, predicted: np.ndarray, in_view: np.ndarray, variation: str) -> Row:
    """The organ on a varied CT, where that still shows it, beside the CT as it is;
    masks bool [k, j, i] on the case's grid."""
    reference = case.references[organ]
    if row := _not_compared(case, organ, predicted & in_view):
        return replace(row, variation=variation)
    counted = case.patient.counted_slices(organ, reference)[:, None, None] & in_view
    share = np.count_nonzero(reference & counted) / np.count_nonzero(reference)
    if share < LEAST_IN_VIEW:
        return Row(case.patient.name, organ, OUT_OF_VIEW, note=f"{share:.0%} of it in view", variation=variation)
    row = _compared(case, organ, predicted, counted)
    whole = organ in EYES and predicted.any() and not (reference & ~in_view).any()
    return replace(
        row,
        variation=variation,
        unchanged=compare(reference, case.mask(organ), case.grid.GetSpacing(), counted),
        centre_mm=centre_distance(reference, predicted, case.grid) if whole else None,
    )


def _not_compared(case: Case, organ: str, predicted: np.ndarray) -> Row | None:
    """The row of an organ that has no reference to compare with, None if it has one."""
    patient, reference = case.patient, case.references[organ]
    if patient.is_absent(organ, reference):
        status = FOUND_FALSELY if predicted.any() else ABSENT
        return Row(patient.name, organ, status, note="not in this scan, says index.json")
    if reason := patient.why_not_counted(organ):
        return Row(patient.name, organ, NOT_COUNTED, note=reason)
    if not reference[patient.counted_slices(organ, reference)].any():
        note = "none of its slices counts" if reference.any() else "not drawn"
        return Row(patient.name, organ, NO_REFERENCE, note=note)
    return None


def _compared(case: Case, organ: str, predicted: np.ndarray, counted: np.ndarray) -> Row:
    agreement = compare(case.references[organ], predicted, case.grid.GetSpacing(), counted)
    if agreement.predicted_ml == 0.0:
        return Row(case.patient.name, organ, MISSED, agreement, note="Dice 0, distances infinite")
    return Row(case.patient.name, organ, COMPARED, agreement)


def centre_distance(reference: np.ndarray, predicted: np.ndarray, grid: sitk.Image) -> float:
    """mm between the middles of two masks that hold something."""
    return float(np.linalg.norm(centre(predicted, grid) - centre(reference, grid)))


def look_for_faults(
    trial: Trial, grid: sitk.Image, references: dict[str, np.ndarray], masks: dict[str, np.ndarray | None]
) -> None:
    """Adds to the trial's findings what its rows and masks [k, j, i] show."""
    for row in trial.rows:
        if row.status == FOUND_FALSELY:
            trial.find(FALSE, row.organ, row.note)
        if row.centre_mm is not None and row.centre_mm > FAR_MM:
            trial.find(FAR, row.organ, f"{row.centre_mm:.1f} mm")
    for organ, note in swapped_sides(
        {name: mask for name, mask in masks.items() if mask is not None}, references, grid
    ):
        trial.find(SWAPPED, organ, note)


def look_for_silence(trial: Trial, prediction: Prediction, masks: dict[str, np.ndarray | None]) -> None:
    """Adds the empty organs that nothing speaks of; masks under the names that the prediction gave."""
    for organ, note in unannounced(prediction, masks):
        trial.find(UNANNOUNCED, organ, note)
