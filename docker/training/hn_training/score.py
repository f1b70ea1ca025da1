"""Whole-volume prediction and Dice by the rule of what counts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from . import grid
from .config import ORGANS, Config
from .network import SIZE_MULTIPLE
from .patients import Patient, folders, read


@torch.inference_mode()
def probabilities(network: nn.Module, patient: Patient, config: Config) -> np.ndarray:
    """Probability of every class (classes, z, y, x) on the patient's own grid; network in evaluation mode."""
    mapping = grid.body_mapping(patient.image, patient.spacing, config.grid.spacing_mm)
    image = torch.from_numpy(grid.image_to_network(patient.image, mapping).astype(np.float32))
    missing = [(-size) % SIZE_MULTIPLE for size in image.shape]
    padding = [n for size in reversed(missing) for n in (0, size)]
    image = F.pad(image, padding, value=grid.AIR_HU)
    device = next(network.parameters()).device
    with torch.autocast(device.type, torch.bfloat16):
        logits = network(grid.window(image)[None, None].to(device))
    chances = logits.float().softmax(1)[0].cpu().numpy()
    chances = chances[:, : mapping.shape[0], : mapping.shape[1], : mapping.shape[2]]
    positions = [mapping.to_network(axis) for axis in range(3)]
    inside = [(at >= -0.5) & (at <= size - 0.5) for at, size in zip(positions, mapping.shape)]
    return grid.sample(chances, positions) * (inside[0][:, None, None] & inside[1][:, None] & inside[2])


def dice(chances: np.ndarray, patient: Patient, threshold: float = 0.5) -> dict[str, float]:
    """Dice per organ that counts for this patient, on its sound slices only; no post-processing.

    An organ is where its probability is above `threshold`.
    """
    scores = {}
    for organ, name in enumerate(ORGANS, start=1):
        if not patient.counts(organ):
            continue
        sound = patient.sound_slices(organ)
        a, b = chances[organ][sound] > threshold, patient.labels[sound] == organ
        scores[name] = float(2 * (a & b).sum() / max(1, a.sum() + b.sum()))
    return scores


def validate(network: nn.Module, config: Config, limit: int | None = None) -> dict[str, dict[str, float]]:
    """Scores of the validation patients (the first `limit` that count for every organ, if given)."""
    scores = {}
    for patient in validation_patients(config):
        if limit is None or all(patient.counts(ORGANS.index(o) + 1) for o in config.data.labels):
            scores[patient.name] = dice(probabilities(network, patient, config), patient)
        if len(scores) == limit:
            break
    return scores


def validation_patients(config: Config) -> Iterable[Patient]:
    return (read(Path(folder), config.data) for folder in folders(config.data.validation))


def means(scores: dict[str, dict[str, float]]) -> dict[str, float]:
    """Mean per organ over the patients that have a score for it."""
    return {organ: float(np.mean(found)) for organ in ORGANS
            if (found := [s[organ] for s in scores.values() if organ in s])}
