"""What is compared: a prediction, a second hand and the old contours, each with the hand that scores."""

from __future__ import annotations

import math

import numpy as np

from ..config import ORGANS
from ..data.patients import Patient
from ..scoring.limits import dice, hausdorff95
from ..scoring.score import EVEN, Prediction, counted
from ..scoring.tune import CANDIDATES, best

Measures = dict[str, float | None]
"""Dice, "volume" (times the reference's) and "hd95" (mm; None where nothing was found), on the slices that count."""


def measured(found: np.ndarray, patient: Patient, organ: int, sound: np.ndarray) -> Measures:
    """found: bool (z, y, x); sound: (z,) bool."""
    reference = (patient.labels == organ) & sound[:, None, None]
    found = found & sound[:, None, None]
    distance = hausdorff95(found, reference, patient.spacing)
    return {
        "dice": dice(found, reference),
        "volume": np.count_nonzero(found) / max(1, int(np.count_nonzero(reference))),
        "hd95": distance if math.isfinite(distance) else None,
    }


def of_prediction(
    prediction: Prediction, patient: Patient, thresholds: list[float] = CANDIDATES
) -> dict[str, dict[str, Measures]]:
    """By organ and threshold."""
    found: dict[str, dict[str, Measures]] = {}
    for threshold in thresholds:
        chances = prediction.at(threshold)
        for organ, sound in counted(patient, absent=False):
            at_threshold = measured(chances[organ] > EVEN, patient, organ, sound)
            found.setdefault(ORGANS[organ - 1], {})[str(threshold)] = at_threshold
    return found


def of_hand(other: Patient, patient: Patient) -> dict[str, Measures]:
    """By organ; `other` is the same CT as contoured by somebody else, and lacks what he didn't draw."""
    return {
        ORGANS[organ - 1]: measured(other.labels == organ, patient, organ, sound)
        for organ, sound in counted(patient, absent=False)
        if organ in other.drawn
    }


def thresholds(scores: dict[str, dict]) -> dict[str, float]:
    """The best threshold of each organ; scores: by patient, what `of_prediction` gives."""
    by_threshold = {
        t: {
            patient: {organ: found[str(t)]["dice"] for organ, found in organs.items()}
            for patient, organs in scores.items()
        }
        for t in CANDIDATES
    }
    return best(by_threshold) if scores else {}


def at(scores: dict[str, dict], chosen: dict[str, float]) -> dict[str, dict[str, Measures]]:
    """Measures by patient and organ at each organ's threshold (0.5 where none was chosen)."""
    return {
        patient: {organ: found[str(chosen.get(organ, EVEN))] for organ, found in organs.items()}
        for patient, organs in scores.items()
    }


def summary(scores: dict[str, dict[str, Measures]], organ: str) -> tuple[int, float, float, float]:
    """How many patients; mean Dice, mean volume and median HD95 (mm, infinite where nothing was found)."""
    found = [organs[organ] for organs in scores.values() if organ in organs]
    if not found:
        return 0, math.nan, math.nan, math.nan
    distances = [math.inf if one["hd95"] is None else one["hd95"] for one in found]
    return (
        len(found),
        float(np.mean([one["dice"] for one in found])),
        float(np.mean([one["volume"] for one in found])),
        float(np.median(distances)),
    )
