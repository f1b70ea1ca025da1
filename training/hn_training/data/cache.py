"""Patients on the network grid, kept as plain arrays that several processes can map."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from .. import grid
from ..config import ORGANS, Config
from .patients import Patient, folders, index_entry, read

FORMAT = 2
CENTRES_PER_PLACE = 400
ABSENT_TOP_MM = 80.0
"""How far below the scan's upper end patches look for an organ that is known to be absent. That is where eyes,
the organ that scans are cut off below, would be guessed."""
VOID_HU = -1000
LEAST_TISSUE_CM2 = 85.0
"""A slice with less tissue has been blanked but for single contours (the data's own rule for a sound slice)."""

Inside = Callable[[int, grid.Mapping], np.ndarray]
"""Class and network grid to bool (z, y, x): where that organ is."""


def build(config: Config, split: str) -> list[Path]:
    """Prepares every patient of `split` whose files or settings changed; returns the folders, in order."""
    root = Path(config.data.cache) / "volumes" / split
    ready = []
    for folder in folders(getattr(config.data, split)):
        target, source = root / folder.name, source_of(folder, config)
        if not is_current(target, source):
            store(read(folder, config.data), config, target, source)
        ready.append(target)
    return ready


def is_current(target: Path, source: str) -> bool:
    """Whether a prepared patient is there that was made from what `source` is the digest of."""
    places = target / "centres.json"
    return places.exists() and json.loads(places.read_text()).get("source") == source


def source_of(folder: Path, config: Config) -> str:
    """The digest of all that a prepared patient depends on."""
    settings = [
        FORMAT,
        config.data.labels,
        config.grid.spacing_mm,
        config.grid.resolution_mm,
        index_entry(config.data.index_of(folder), folder),
    ]
    return digest(settings, [folder / "data.nii.gz", folder / "label.nii.gz"])


def digest(settings: list, files: Iterable[Path]) -> str:
    """SHA-256 over settings and the contents of files."""
    sums = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for file in files:
        sums.update(hashlib.sha256(file.read_bytes()).digest())
    return sums.hexdigest()


def store(patient: Patient, config: Config, target: Path, source: str, inside: Inside | None = None) -> None:
    """Writes image.npy (int16 HU), target.npy (uint8: classes, unknown bits, share of void) and, last, centres.json.

    inside: where an organ is on the network grid, if finer contours than the patient's own tell.
    """
    target.mkdir(parents=True, exist_ok=True)
    mapping = grid.body_mapping(patient.image, patient.spacing, config.grid.spacing_mm)
    labels, unknown = targets(patient, mapping, inside)
    image = grid.image_to_network(patient.image, mapping, patient.spacing, config.grid.resolution_mm)
    (target / "centres.json").unlink(missing_ok=True)
    replace(target / "image.npy", image)
    replace(target / "target.npy", np.stack([labels, unknown, void_share(patient, mapping)]))
    absent = any(not (patient.labels == organ).any() for organ in patient.drawn)
    top = round(ABSENT_TOP_MM / config.grid.spacing_mm[2])
    places = {"source": source, "drawn": centres(labels), "absent": top_of_body(image, top) if absent else []}
    (target / "centres.json").write_text(json.dumps(places))


def replace(path: Path, array: np.ndarray) -> None:
    """Writes beside and renames: a running training keeps the file it has mapped."""
    part = path.with_name(f"{path.stem}.part.npy")
    np.save(part, array)
    part.replace(path)


def targets(patient: Patient, mapping: grid.Mapping, inside: Inside | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Classes and unknown bits on the network grid, both uint8 (z, y, x).

    inside: bool (z, y, x) of an organ on that grid; by default the patient's own contours, half a voxel or more. Bit i
    of `unknown` says that class i + 1 may or may not be there.
    A network slice knows an organ only if both CT slices next to it do.
    """
    positions = [mapping.to_ct(axis) for axis in range(3)]
    labels, unknown = np.zeros((2, *mapping.shape), np.uint8)
    inside = inside or (lambda organ, _: grid.sample(patient.labels == organ, positions) >= 0.5)
    below = np.clip(np.floor(positions[0]).astype(int), 0, mapping.ct_shape[0] - 1)
    above = np.clip(np.ceil(positions[0]).astype(int), 0, mapping.ct_shape[0] - 1)
    for organ in range(1, len(ORGANS) + 1):
        sound = patient.sound_slices(organ)
        known = sound[below] & sound[above]
        unknown[~known] |= np.uint8(1 << (organ - 1))
        if (patient.labels == organ).any():
            labels[inside(organ, mapping) & known[:, None, None]] = organ
    return labels, unknown


def void_share(patient: Patient, mapping: grid.Mapping) -> np.ndarray:
    """How much of each voxel (z, y, x) of the network grid was blanked in the CT: uint8, 255 is all.

    Blanked are the voxels of `VOID_HU` or less in slices that hold less than `LEAST_TISSUE_CM2` of
    tissue; in the others that value is the air around the patient.
    """
    pixel_cm2 = patient.spacing[0] * patient.spacing[1] / 100
    tissue = (patient.image > grid.BODY_HU).sum(axis=(1, 2)) * pixel_cm2
    void = (patient.image <= VOID_HU) & (tissue < LEAST_TISSUE_CM2)[:, None, None]
    share = grid.sample(void, [mapping.to_ct(axis) for axis in range(3)])
    return np.rint(share * 255).astype(np.uint8)


def centres(labels: np.ndarray) -> dict[str, list[list[int]]]:
    """Up to about `CENTRES_PER_PLACE` voxels (z, y, x) of each class, to place patches around."""
    return {str(organ): spread(np.argwhere(labels == organ)) for organ in np.unique(labels[labels > 0])}


def top_of_body(image: np.ndarray, slices: int) -> list[list[int]]:
    """Voxels of the body in the uppermost `slices` that hold any, to look for an absent organ around."""
    body = np.argwhere(image > grid.BODY_HU)
    return spread(body[body[:, 0] > body[-1, 0] - slices]) if len(body) else []


def spread(voxels: np.ndarray) -> list[list[int]]:
    return voxels[:: max(1, len(voxels) // CENTRES_PER_PLACE)].tolist()
