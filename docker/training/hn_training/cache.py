"""Patients on the network grid, kept as plain arrays that several processes can map."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from . import grid
from .config import ORGANS, Config
from .patients import Patient, folders, read

CENTRES_PER_ORGAN = 400


def build(config: Config, split: str) -> list[Path]:
    """Prepares every patient of `split` once; returns the folders, in order."""
    root = Path(config.data.cache) / "volumes" / split
    ready = []
    for folder in folders(getattr(config.data, split)):
        target = root / folder.name
        if not (target / "centres.json").exists():
            target.mkdir(parents=True, exist_ok=True)
            store(read(folder, config.data), config, target)
        ready.append(target)
    return ready


def store(patient: Patient, config: Config, target: Path) -> None:
    """Writes image.npy (int16 HU), target.npy (uint8: classes, unknown bits) and centres.json."""
    mapping = grid.body_mapping(patient.image, patient.spacing, config.grid.spacing_mm)
    labels, unknown = targets(patient, mapping)
    np.save(target / "image.npy", grid.image_to_network(patient.image, mapping))
    np.save(target / "target.npy", np.stack([labels, unknown]))
    (target / "centres.json").write_text(json.dumps(centres(labels)))


def targets(patient: Patient, mapping: grid.Mapping) -> tuple[np.ndarray, np.ndarray]:
    """Classes and unknown bits on the network grid, both uint8 (z, y, x).

    Bit i of `unknown` says that class i + 1 may or may not be there. A network slice knows an
    organ only if both CT slices next to it do.
    """
    positions = [mapping.to_ct(axis) for axis in range(3)]
    labels, unknown = np.zeros((2, *mapping.shape), np.uint8)
    below = np.clip(np.floor(positions[0]).astype(int), 0, mapping.ct_shape[0] - 1)
    above = np.clip(np.ceil(positions[0]).astype(int), 0, mapping.ct_shape[0] - 1)
    for organ in range(1, len(ORGANS) + 1):
        sound = patient.sound_slices(organ)
        known = sound[below] & sound[above]
        inside = grid.sample(patient.labels == organ, positions) >= 0.5
        labels[inside & known[:, None, None]] = organ
        unknown[~known] |= np.uint8(1 << (organ - 1))
    return labels, unknown


def centres(labels: np.ndarray) -> dict[str, list[list[int]]]:
    """Up to `CENTRES_PER_ORGAN` voxels (z, y, x) of each class, to place patches around."""
    chosen = {}
    for organ in np.unique(labels[labels > 0]):
        voxels = np.argwhere(labels == organ)
        step = max(1, len(voxels) // CENTRES_PER_ORGAN)
        chosen[str(organ)] = voxels[::step].tolist()
    return chosen
