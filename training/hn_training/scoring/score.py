"""Whole-volume prediction and Dice by the rule of what counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .. import grid
from ..config import ORGANS, Config, mirrored_classes
from ..data.patients import Patient, folders, read
from ..networks.densevnet import SIZE_MULTIPLE
from ..networks.precision import autocast

EVEN = 0.5
"""An organ is where its probability is above this: export makes every organ's threshold so."""


@dataclass(frozen=True)
class Prediction:
    """Probability of every class (classes, z, y, x) on a network grid, and where that lies in the patient."""

    chances: np.ndarray
    mapping: grid.Mapping

    def at(self, threshold: float = 0.5) -> np.ndarray:
        """Probability of every class on the patient's own grid, of a model exported with this threshold for all organs.

        Export shifts the logits, and only then is interpolated: an edge lies elsewhere than where the interpolated
        probability has the threshold.
        """
        chances = self.chances.copy()
        chances[1:] *= (1 - threshold) / threshold
        chances /= chances.sum(0)
        positions = [self.mapping.to_network(axis) for axis in range(3)]
        inside = [(at >= -0.5) & (at <= size - 0.5) for at, size in zip(positions, self.mapping.shape)]
        return grid.sample(chances, positions) * (inside[0][:, None, None] & inside[1][:, None] & inside[2])


def probabilities(network: nn.Module, patient: Patient, config: Config, flip: bool = False) -> np.ndarray:
    """Probability of every class (classes, z, y, x) on the patient's own grid; see `predict`."""
    return predict(network, patient, config, flip).at()


@torch.inference_mode()
def predict(network: nn.Module, patient: Patient, config: Config, flip: bool = False) -> Prediction:
    """What a network in evaluation mode says to a patient.

    flip: the mean with what the network says to the mirrored patient, its sides swapped back.
    """
    mapping = grid.body_mapping(patient.image, patient.spacing, config.grid.spacing_mm)
    image = grid.image_to_network(patient.image, mapping, patient.spacing, config.grid.resolution_mm)
    image = torch.from_numpy(image.astype(np.float32))
    missing = [(-size) % SIZE_MULTIPLE for size in image.shape]
    padding = [n for size in reversed(missing) for n in (0, size)]
    image = F.pad(image, padding, value=grid.AIR_HU)
    device = next(network.parameters()).device
    image = grid.window(image)[None, None].to(device)
    with autocast(device.type):
        chances = network(image).float().softmax(1)
        if flip:
            mirrored = network(image.flip(-1)).float().softmax(1).flip(-1)
            chances = (chances + mirrored[:, mirrored_classes()]) / 2
    chances = chances[0].cpu().numpy()
    return Prediction(chances[:, : mapping.shape[0], : mapping.shape[1], : mapping.shape[2]], mapping)


def dice(chances: np.ndarray, patient: Patient) -> dict[str, float]:
    """Dice per organ that was drawn and counts for this patient, on its sound slices only; no post-processing.

    An organ is where its probability is above `EVEN`.
    """
    scores = {}
    for organ, sound in counted(patient, absent=False):
        a, b = chances[organ][sound] > EVEN, patient.labels[sound] == organ
        scores[ORGANS[organ - 1]] = float(2 * (a & b).sum() / max(1, a.sum() + b.sum()))
    return scores


def invented_ml(chances: np.ndarray, patient: Patient) -> dict[str, float]:
    """What was found (ml) of every organ that is known to be absent in this patient: no Dice can say that."""
    voxel_ml = float(np.prod(patient.spacing)) / 1000
    return {
        ORGANS[organ - 1]: float((chances[organ][sound] > EVEN).sum()) * voxel_ml
        for organ, sound in counted(patient, absent=True)
    }


def counted(patient: Patient, absent: bool) -> list[tuple[int, np.ndarray]]:
    """Classes that count for this patient, either drawn or known to be absent, and their sound slices (z,) bool."""
    return [
        (organ, patient.sound_slices(organ))
        for organ in range(1, len(ORGANS) + 1)
        if patient.counts(organ) and (not (patient.labels == organ).any()) == absent
    ]


@dataclass(frozen=True)
class Scores:
    """Per patient: Dice of each drawn organ, and ml of each organ known to be absent."""

    dice: dict[str, dict[str, float]] = field(default_factory=dict)
    invented: dict[str, dict[str, float]] = field(default_factory=dict)

    def means(self) -> dict[str, float]:
        return means(self.dice)

    def inventions(self) -> dict[str, tuple[int, int]]:
        """Per organ: in how many patients that lack it something was found, and how many lack it."""
        found = {organ: [ml[organ] for ml in self.invented.values() if organ in ml] for organ in ORGANS}
        return {organ: (sum(ml > 0 for ml in mls), len(mls)) for organ, mls in found.items() if mls}

    def add(self, patient: Patient, chances: np.ndarray) -> None:
        self.dice[patient.name] = dice(chances, patient)
        self.invented[patient.name] = invented_ml(chances, patient)


def validate(network: nn.Module, config: Config, flip: bool = False) -> Scores:
    """Scores of all validation patients."""
    scores = Scores()
    for folder in folders(config.data.validation):
        patient = read(folder, config.data)
        scores.add(patient, probabilities(network, patient, config, flip))
    return scores


def quick_patients(config: Config) -> list[Path]:
    """The `validate_patients` validation patients with most organs drawn and sound, the first of equals."""
    found = folders(config.data.validation)
    organs = {folder: len(counted(read(folder, config.data), absent=False)) for folder in found}
    return sorted(found, key=organs.__getitem__, reverse=True)[: config.optimise.validate_patients]


def means(scores: dict[str, dict[str, float]]) -> dict[str, float]:
    """Mean per organ over the patients that have a score for it."""
    return {
        organ: float(np.mean(found)) for organ in ORGANS if (found := [s[organ] for s in scores.values() if organ in s])
    }
