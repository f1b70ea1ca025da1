"""Both kinds of patients on the network grid:
those with better contours, once a hand, and those that taught the model before."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from ..config import ORGANS, Config, Data
from ..data import cache
from ..data.patients import Patient, folders, index_entry, read
from . import hands
from .settings import Old, Settings


def volumes(settings: Settings, config: Config, cases: list[hands.Case]) -> dict[str, list[Path]]:
    """Prepares the contours of every hand that teaches, of every patient, where files or settings changed.

    Folders by the patient's name.
    """
    root = Path(config.data.cache) / "volumes" / "patients"
    ready: dict[str, list[Path]] = {}
    for case in cases:
        for hand in hands.teachers(case, settings.patients):
            target = root / f"{case.name}.{hand}"
            entry = hands.index_entry(settings.patients.index, case)
            made_of = [config.grid.spacing_mm, config.grid.resolution_mm, settings.patients.labels, entry]
            source = cache.digest([cache.FORMAT, made_of], [case.image, case.fine[hand], case.coarse[hand]])
            if not cache.is_current(target, source):
                patient = hands.read(case, hand, settings.patients)
                cache.store(patient, config, target, source, hands.finest(case, hand, settings.patients))
            ready.setdefault(case.name, []).append(target)
    return ready


def old_volumes(settings: Settings, config: Config, cases: list[hands.Case]) -> list[Path]:
    """Prepares the old patients, without those that are to be left out and those whose CT is one of `cases`."""
    old = settings.old
    if not old.folder or not old.share:
        return []
    data, root, ready = old_data(old), Path(config.data.cache) / "volumes" / "old", []
    better = {cache.digest([], [case.image]) for case in cases}
    for folder in folders(old.folder):
        if folder.name in old.leave_out or cache.digest([], [folder / "data.nii.gz"]) in better:
            continue
        target = root / folder.name
        made_of = [
            config.grid.spacing_mm,
            config.grid.resolution_mm,
            old.labels,
            old.unknown,
            old.unknown_ends_mm,
            index_entry(old.index, folder),
        ]
        source = cache.digest([cache.FORMAT, made_of], [folder / "data.nii.gz", folder / "label.nii.gz"])
        if not cache.is_current(target, source):
            cache.store(doubted(read(folder, data), old), config, target, source)
        ready.append(target)
    return ready


def clinic(settings: Settings, case: hands.Case) -> Patient | None:
    """The same CT among the old patients, with its old contours; None if it isn't there."""
    if not settings.old.folder:
        return None
    wanted, size = cache.digest([], [case.image]), case.image.stat().st_size
    for folder in folders(settings.old.folder):
        image = folder / "data.nii.gz"
        if image.stat().st_size == size and cache.digest([], [image]) == wanted:
            return read(folder, old_data(settings.old))
    return None


def old_data(old: Old) -> Data:
    return Data(train=old.folder, validation=old.folder, index=old.index, cache="", labels=old.labels)


def doubted(patient: Patient, old: Old) -> Patient:
    """The old contours without what contradicts the better ones:
    organs, and stretches round both ends of organs, become unknown."""
    drawn = patient.drawn - {ORGANS.index(organ) + 1 for organ in old.unknown}
    unsound = dict(patient.unsound)
    for name, reach in old.unknown_ends_mm.items():
        organ = ORGANS.index(name) + 1
        inside = np.flatnonzero((patient.labels == organ).any(axis=(1, 2)))
        if organ in drawn and len(inside):
            z = np.arange(len(patient.image))
            near = np.minimum(abs(z - inside[0]), abs(z - inside[-1])) * patient.spacing[2] <= reach
            unsound[organ] = unsound.get(organ, frozenset()) | frozenset(np.flatnonzero(near).tolist())
    return dataclasses.replace(patient, drawn=drawn, unsound=unsound)
