"""Compares predictions with the references of a data set, organ by organ and patient by patient. Nothing is dropped unsaid."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import Cancelled, HNSegmenterError, UnusableInput
from ..result import NOT_IN_MODEL, Result
from ..grids import same_grid
from .dataset import Dataset, Patient, read_image
from .metrics import Agreement, compare

COMPARED, MISSED, NO_REFERENCE, NOT_COUNTED, FAILED = "compared", "not predicted", "no reference", "not counted", "failed"
SEGMENTATIONS, RESULT = "segmentations", "result.json"


@dataclass(frozen=True)
class Row:
    """One organ of one patient. agreement: of rows compared or missed (Dice 0, no distances); slices: how many counted."""

    patient: str
    organ: str
    status: str
    agreement: Agreement | None = None
    slices: int = 0
    note: str = ""


Predict = Callable[[Patient], Path]
"""Folder with the predictions for one patient; raises HNSegmenterError."""


def stored_predictions(folder: Path) -> Predict:
    """Predictions that exist: folder/<patient>[/segmentations]/<TG-263 name>.nii.gz."""

    def predict(patient: Patient) -> Path:
        place = folder / patient.name
        if not place.is_dir():
            raise UnusableInput(f"{folder} has no folder {patient.name}.")
        return place

    return predict


def evaluate(dataset: Dataset, labels: dict[int, str], predict: Predict, organs: Iterable[str] | None = None) -> Iterator[Row]:
    """One row for each patient and organ, patient by patient.

    labels: value in label.nii.gz -> TG-263 name; organs: which of them, None for those that the patient's prediction has
    files of or, by its result.json, looked for. A patient whose prediction fails gets a row that says so. Raises Cancelled.
    """
    for patient in dataset.patients:
        try:
            yield from evaluate_patient(patient, labels, predict(patient), organs)
        except Cancelled:
            raise
        except HNSegmenterError as fault:
            yield Row(patient.name, "", FAILED, note=fault.sentence)


def evaluate_patient(patient: Patient, labels: dict[int, str], place: Path, organs: Iterable[str] | None = None) -> list[Row]:
    """Rows of one patient. Raises UnusableInput if a file is unreadable or on another grid."""
    tried = set(organs) if organs is not None else organs_tried(place)
    known = {name: value for value, name in labels.items() if name in tried}
    if not known:
        raise UnusableInput(f"{place} holds no labelmap of an organ that the label map names.")
    reference = patient.read_reference()
    return [_row(patient, name, reference, value, place) for name, value in known.items()]


def organs_tried(place: Path) -> set[str]:
    """Names of the organs that a prediction's folder has files of, or that its result.json says were looked for."""
    files = {file.name.removesuffix(".nii.gz") for file in _labelmap_folder(place).glob("*.nii.gz")}
    if (place / RESULT).is_file():
        files |= {organ.name for organ in Result.read(place / RESULT).organs if organ.status != NOT_IN_MODEL}
    return files


def organs_tried_by_any(dataset: Dataset, folder: Path) -> set[str]:
    """What stored predictions hold in all: an organ that one patient has and another has not was missed there."""
    return {name for patient in dataset.patients for name in organs_tried(folder / patient.name)}


def _labelmap_folder(place: Path) -> Path:
    return place / SEGMENTATIONS if (place / SEGMENTATIONS).is_dir() else place


def _row(patient: Patient, organ: str, labels: sitk.Image, value: int, place: Path) -> Row:
    if reason := patient.why_not_counted(organ):
        return Row(patient.name, organ, NOT_COUNTED, note=reason)
    reference = sitk.GetArrayViewFromImage(labels) == value
    counted = patient.counted_slices(organ, reference)
    if not reference[counted].any():
        note = "none of its slices counts" if reference.any() else "not drawn"
        return Row(patient.name, organ, NO_REFERENCE, note=note)
    predicted = _predicted(_labelmap_folder(place) / f"{organ}.nii.gz", labels)
    agreement = compare(reference, predicted, labels.GetSpacing(), counted)
    missed = agreement.predicted_ml == 0.0
    return Row(
        patient.name,
        organ,
        MISSED if missed else COMPARED,
        agreement,
        int(np.count_nonzero(counted & reference.any(axis=(1, 2)))),
        "Dice 0, distances infinite" if missed else "",
    )


def _predicted(path: Path, grid: sitk.Image) -> np.ndarray:
    """bool [k, j, i]; all False without a file, for an organ not found has none."""
    if not path.is_file():
        return np.zeros(grid.GetSize()[::-1], bool)
    labelmap = read_image(path)
    if not same_grid(labelmap, grid):
        raise UnusableInput(f"{path} is not on the grid of the patient's label.nii.gz: resample it first.")
    return sitk.GetArrayViewFromImage(labelmap) != 0


@dataclass(frozen=True)
class Summary:
    """One organ over all patients; mean and standard deviation (n - 1) of Dice with the missed ones as 0, of distances
    without them; None where there is nothing to average."""

    organ: str
    patients: int
    missed: int
    dice: tuple[float, float | None] | None
    dice_median: float | None
    hd95_mm: tuple[float, float | None] | None
    msd_mm: tuple[float, float | None] | None
    volume_error_percent: tuple[float, float | None] | None


def summarise(rows: list[Row]) -> list[Summary]:
    """In the order of the organs' first appearance; organs without any comparison are in with 0 patients."""
    organs = dict.fromkeys(row.organ for row in rows if row.organ)
    return [_summary(organ, [row for row in rows if row.organ == organ and row.agreement]) for organ in organs]


def _summary(organ: str, rows: list[Row]) -> Summary:
    agreements = [row.agreement for row in rows]
    dice = [agreement.dice for agreement in agreements]
    return Summary(
        organ,
        len(rows),
        sum(row.status == MISSED for row in rows),
        _mean(dice),
        float(np.median(dice)) if dice else None,
        _mean([agreement.hd95_mm for agreement in agreements if agreement.hd95_mm is not None]),
        _mean([agreement.msd_mm for agreement in agreements if agreement.msd_mm is not None]),
        _mean([agreement.volume_error_percent for agreement in agreements]),
    )


def _mean(values: list[float]) -> tuple[float, float | None] | None:
    if not values:
        return None
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None
