"""The probability above which a voxel is called an organ, chosen on training patients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..config import SIDES, Config
from ..data.patients import Patient, folders, read
from .score import Prediction, dice, means

CANDIDATES = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995]


def thresholds(predict: Callable[[Patient], Prediction], config: Config, patients: int) -> dict[str, float]:
    """Per organ the candidate of the highest mean Dice over `patients` training patients, evenly chosen.

    Soft Dice makes a network draw too much where it is unsure; training patients show how much,
    and leave the validation patients' scores unbiased.
    """
    found = folders(config.data.train)
    chosen = [found[i] for i in np.linspace(0, len(found) - 1, min(patients, len(found))).round().astype(int)]
    scores: dict[float, dict[str, dict[str, float]]] = {candidate: {} for candidate in CANDIDATES}
    for folder in chosen:
        patient = read(folder, config.data)
        prediction = predict(patient)
        for candidate in CANDIDATES:
            scores[candidate][patient.name] = dice(prediction.at(candidate), patient)
    return best(scores)


def best(scores: dict[float, dict[str, dict[str, float]]]) -> dict[str, float]:
    """Per organ the candidate of the highest mean Dice; scores: by candidate, patient and organ.
    Both sides of a pair get the same."""
    mean = {candidate: means(scores[candidate]) for candidate in scores}
    twins = SIDES | {right: left for left, right in SIDES.items()}

    def both_sides(candidate: float, organ: str) -> float:
        return mean[candidate][organ] + mean[candidate].get(twins.get(organ, organ), 0.0)

    return {organ: max(mean, key=lambda c: both_sides(c, organ)) for organ in next(iter(mean.values()))}
