"""One patient's CT varied, segmented again, and compared with what was made of the CT as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from zlib import crc32

import numpy as np
import SimpleITK as sitk

from ..errors import Cancelled, HNSegmenterError, UnusableInput
from ..grids import same_grid
from .dataset import CORD, Dataset, Patient, read_image
from .evaluate import FAILED, MISSED, Case, Row, Trial, compare_varied, look_for_faults, look_for_silence
from .findings import CHANGED, CUT_SAID, CUT_UNSAID, FALSE, INVENTED_SHARE, NEARLY, cut_sentence, is_cut
from .prediction import Prediction
from .variations import VARIATIONS, Draw, Scan, Varied, other_side
from .variations.scan import SLICE_CM2, slice_tissue_cm2

SAME = {
    "again": 1.0,
    "reoriented": 0.999,
}  # nothing changed but the file: the least Dice of the labelmaps with the first
DONORS = 5

PredictVaried = Callable[[Patient, str, sitk.Image], Prediction]
"""Prediction for a patient's CT changed by a variation; raises HNSegmenterError."""


@dataclass
class Donors:
    """Patients whose tissue fills others' voids: those of the data set with the most whole slices.
    None is kept in memory."""

    dataset: Dataset
    labels: dict[int, str]

    @cached_property
    def names(self) -> list[str]:
        whole = {
            patient.name: int((slice_tissue_cm2(read_image(patient.ct)) >= SLICE_CM2).sum())
            for patient in self.dataset.patients
        }
        return sorted(whole, key=lambda name: -whole[name])[: DONORS + 1]

    def other_than(self, patient: Patient, random: np.random.Generator) -> Scan:
        """One of the others; the patient's own scan where the data set has no other."""
        names = [name for name in self.names if name != patient.name][:DONORS] or [patient.name]
        return self._scan(str(random.choice(names)))

    def _scan(self, name: str) -> Scan:
        patient = next(patient for patient in self.dataset.patients if patient.name == name)
        values = sitk.GetArrayFromImage(patient.read_reference())
        return Scan(read_image(patient.ct), {organ: values == value for value, organ in self.labels.items()})


def try_variation(name: str, case: Case, predict: PredictVaried, donors: Donors, axial: bool, seed: int = 0) -> Trial:
    """Vary, predict and compare, every row beside the unchanged CT's on what both show. axial: see Draw.
    Raises Cancelled."""
    trial = Trial(case.patient.name, name)
    random = np.random.default_rng([seed, crc32(f"{name} {case.patient.name}".encode())])
    draw = Draw(random, lambda: donors.other_than(case.patient, random), axial)
    try:
        ct = read_image(case.patient.ct)
        if not same_grid(ct, case.grid):
            raise UnusableInput(
                f"{case.patient.ct} and its label.nii.gz are not on one grid: resample one of them first."
            )
        varied = VARIATIONS[name](Scan(ct, case.references), draw)
        _compare(trial, case, varied, _predict(predict, case.patient, name, varied))
    except Cancelled:
        raise
    except HNSegmenterError as fault:
        trial.rows = [Row(case.patient.name, "", FAILED, note=fault.sentence, variation=name)]
        trial.findings = []
    return trial


def _predict(predict: PredictVaried, patient: Patient, name: str, varied: Varied) -> Prediction | str:
    """The sentence with which the CT was refused, if it was: then nothing was found on it, and that was said."""
    try:
        return predict(patient, name, varied.ct)
    except UnusableInput as refusal:
        return refusal.sentence


def _compare(trial: Trial, case: Case, varied: Varied, prediction: Prediction | str) -> None:
    name = trial.variation
    if isinstance(prediction, str):
        empty = _or_empty(None, case)
        rows = [compare_varied(case, organ, empty, varied.in_view, name) for organ in case.references]
        trial.rows = [replace(row, note=prediction) if row.status == MISSED else row for row in rows]
        return
    found = {organ: prediction.mask(_called(organ, varied)) for organ in case.references}
    masks = {organ: None if mask is None else varied.back(mask) for organ, mask in found.items()}
    masks = {organ: None if _is_the_donors(case, organ, mask, varied) else mask for organ, mask in masks.items()}
    trial.rows = [
        compare_varied(case, organ, _or_empty(mask, case), varied.in_view, name) for organ, mask in masks.items()
    ]
    look_for_faults(trial, case.grid, case.references, masks)
    look_for_silence(trial, prediction, {_called(organ, varied): mask for organ, mask in found.items()})
    _look_for_inventions(trial, case, masks, varied.in_view)
    _look_for_cuts(trial, case, varied, prediction)
    if name in SAME:
        _look_for_changes(trial, case, masks)


def _called(organ: str, varied: Varied) -> str:
    """What the network has to call the organ."""
    return other_side(organ) if varied.mirrored else organ


def _is_the_donors(case: Case, organ: str, mask: np.ndarray | None, varied: Varied) -> bool:
    """Whether an organ that this patient's scan does not show was found, most of it, in tissue of the other patient."""
    if mask is None or varied.foreign is None or not case.patient.is_absent(organ, case.references[organ]):
        return False
    return bool(2 * np.count_nonzero(mask & varied.foreign) > np.count_nonzero(mask))


def _or_empty(mask: np.ndarray | None, case: Case) -> np.ndarray:
    return np.zeros(case.grid.GetSize()[::-1], bool) if mask is None else mask


def _look_for_inventions(trial: Trial, case: Case, masks: dict[str, np.ndarray | None], in_view: np.ndarray) -> None:
    """Organs of which much is found although all of their reference is out of view,
    and that was not found there before.

    Two neighbours may be told apart a little higher or lower than in the reference: what was there on the CT as it is,
    is no invention of the variation.
    """
    for organ, mask in masks.items():
        reference, before = case.references[organ], case.mask(organ) & in_view
        if mask is None or not reference.any() or (reference & in_view).any():
            continue
        if np.count_nonzero(mask) - np.count_nonzero(before) > INVENTED_SHARE * np.count_nonzero(reference):
            trial.find(FALSE, organ, "all of it is out of view")


def _look_for_cuts(trial: Trial, case: Case, varied: Varied, prediction: Prediction) -> None:
    """Whether the checks say of each organ that was cut that it was."""
    if prediction.result is None or (varied.lowest is None and varied.highest is None):
        return
    above = varied.highest is not None
    for organ, reference in case.references.items():
        if is_cut(reference, varied.in_view) and (above or organ != CORD):
            sentence = cut_sentence(prediction.result.organs, organ, above)
            trial.find(CUT_SAID if sentence else CUT_UNSAID, organ, sentence or f"from {'above' if above else 'below'}")


def _look_for_changes(trial: Trial, case: Case, masks: dict[str, np.ndarray | None]) -> None:
    """Organs whose labelmap differs from the one of the CT as it is."""
    for organ, mask in masks.items():
        before, after = case.mask(organ), _or_empty(mask, case)
        both = np.count_nonzero(before) + np.count_nonzero(after)
        dice = 2 * np.count_nonzero(before & after) / both if both else 1.0
        if (before != after).any():
            trial.find(CHANGED if dice < SAME[trial.variation] else NEARLY, organ, f"Dice {dice:.5f} with the first")
