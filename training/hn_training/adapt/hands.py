"""Patients whose CT one or several people contoured, each on a grid of his own."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError

from .. import grid
from ..config import ORGANS, ConfigError
from ..data.cache import Inside
from ..data.patients import Patient, load_volume, read_lps
from .settings import Patients

CT, FINE, NIFTI = "data", "_fine", ".nii.gz"
STRAIGHT = 1e-3
"""How far the axes of contours may be from their CT's, as voxels a voxel."""
PARTS = 8
"""Samples a voxel's edge, at least, when contours are averaged onto other voxels."""


@dataclass(frozen=True)
class Case:
    """One patient: the file of the CT and, by the name of each hand,
    that of the finest contours and that on the CT's grid (or the same)."""

    name: str
    image: Path
    fine: dict[str, Path]
    coarse: dict[str, Path]

    @property
    def first(self) -> str:
        """The hand that scores."""
        return next(iter(self.fine))


def cases(settings: Patients) -> list[Case]:
    """The patients of the folder in natural order; raises ConfigError where one lacks its CT or the first hand."""
    root = Path(settings.folder)
    folders = (
        sorted((p for p in root.iterdir() if p.is_dir()), key=lambda p: (len(p.name), p.name)) if root.is_dir() else []
    )
    found = [case for folder in folders if (case := find(folder, settings))]
    if not found:
        raise ConfigError(
            f"[patients] folder: {root} holds no folder with contours (a NAME{NIFTI} beside the CT) in it."
        )
    return found


def find(folder: Path, settings: Patients) -> Case | None:
    """The patient of a folder; None if nobody contoured him."""
    files = {file.name.removesuffix(NIFTI): file for file in sorted(folder.glob("*" + NIFTI))}
    image = files.pop(CT, None)
    if settings.images:
        image = Path(settings.images) / folder.name / (CT + NIFTI)
    hands = settings.hands or tuple(dict.fromkeys(name.removesuffix(FINE) for name in files))
    fine = {hand: file for hand in hands if (file := files.get(hand + FINE, files.get(hand)))}
    if not fine:
        return None
    if image is None or not image.exists():
        raise ConfigError(
            f"[patients] {folder} has contours but no {CT}{NIFTI}: put the CT into that "
            "folder, or name the folder of the CTs in images."
        )
    if hands[0] not in fine:
        raise ConfigError(f"[patients] {folder} lacks {hands[0]}{NIFTI}, the contours that score.")
    return Case(folder.name, image, fine, {hand: files.get(hand, file) for hand, file in fine.items()})


def teachers(case: Case, settings: Patients) -> list[str]:
    """The hands whose contours teach; raises ConfigError if nobody is left."""
    found = [hand for hand in case.fine if not settings.teach or hand in settings.teach]
    if not found:
        who = " or ".join(settings.teach)
        raise ConfigError(
            f"[patients] {case.name} has no contours by {who}, who alone teach: correct teach, or leave him out."
        )
    return found


@dataclass(frozen=True)
class Contours:
    """Label values (z, y, x), and where they lie on a CT: their index = (CT index) * scale + shift, all (z, y, x)."""

    values: np.ndarray
    scale: tuple[float, ...]
    shift: tuple[float, ...]

    def share(self, value: int, positions: Sequence[np.ndarray], widths: Sequence[float]) -> np.ndarray:
        """float32 (z, y, x): how much of boxes round the `positions` on the CT,
        `widths` CT voxels wide, has `value`."""
        mask, start = cropped(self.values == value)
        share = mask.astype(np.float32)
        for axis in range(3):
            own = positions[axis] * self.scale[axis] + self.shift[axis] - start[axis]
            share = np.moveaxis(
                np.tensordot(overlap(own, widths[axis] * self.scale[axis], mask.shape[axis]), share, (1, axis)), 0, axis
            )
        return share


def cropped(mask: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """The part of a mask that holds anything, and where it starts; one voxel of an empty one."""
    ranges = [np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    if any(len(found) == 0 for found in ranges):
        return mask[:1, :1, :1], [0, 0, 0]
    return mask[tuple(slice(found[0], found[-1] + 1) for found in ranges)], [int(found[0]) for found in ranges]


def overlap(positions: np.ndarray, width: float, size: int) -> np.ndarray:
    """(positions, size) float32: how much of a stretch of `width` round each position lies in each of `size` voxels."""
    parts = PARTS * max(1, int(np.ceil(width)))
    offsets = width * ((np.arange(parts) + 0.5) / parts - 0.5)
    at = np.floor(positions[:, None] + offsets + 0.5).astype(int)
    return np.stack([(at == voxel).mean(axis=1) for voxel in range(size)], axis=1).astype(np.float32)


@lru_cache(maxsize=1)
def contours(file: Path, image: Path) -> Contours:
    """Contours on whatever grid along the axes of their CT;
    raises ConfigError if the axes differ or a file cannot be read."""
    values, _ = volume(file)
    ours, ct = lps_affine(file), lps_affine(image)
    across = np.linalg.inv(ours) @ ct
    if np.abs(across[:3, :3] - np.diag(np.diag(across)[:3])).max() > STRAIGHT:
        raise ConfigError(f"{file} does not lie along the axes of its CT: resample the contours onto the CT.")
    return Contours(values, tuple(np.diag(across)[2::-1]), tuple(across[2::-1, 3]))


def volume(path: Path) -> tuple[np.ndarray, tuple[float, float, float]]:
    """A NIfTI volume as `read_lps` gives it; raises ConfigError that names the file if it is none."""
    try:
        values, spacing = read_lps(path)
    except (ImageFileError, OSError, EOFError, ValueError, zlib.error) as error:
        raise ConfigError(f"{path} cannot be read as a NIfTI volume ({error}).") from None
    if values.ndim != 3:
        raise ConfigError(f"{path} has {values.ndim} dimensions; a CT and its contours have three.")
    return values, spacing


def lps_affine(path: Path) -> np.ndarray:
    """Voxel (x, y, z) to mm, of the volume as `read_lps` turns it."""
    file = load_volume(path)
    turn = nib.orientations.ornt_transform(nib.io_orientation(file.affine), nib.orientations.axcodes2ornt("LPS"))
    return file.affine @ nib.orientations.inv_ornt_aff(turn, file.shape[:3])


def read(case: Case, hand: str, settings: Patients) -> Patient:
    """The CT with the contours of `hand` on its own grid,
    and what the index says of them (of the hand that scores, for all)."""
    image, spacing = volume(case.image)
    drawn, classes = (
        contours(case.coarse[hand], case.image),
        {ORGANS.index(organ) + 1: value for organ, value in settings.labels.items()},
    )
    labels = np.zeros(image.shape, np.uint8)
    for organ, value in classes.items():
        labels[drawn.share(value, [np.arange(n) for n in image.shape], (1, 1, 1)) >= 0.5] = organ
    entry = index_entry(settings.index, case)
    if entry is None:
        found = frozenset(c for c in classes if (labels == c).any())
        return Patient(case.name, image, labels, spacing, found, {}, dict.fromkeys(found, 1.0), settings.least_context)
    context = {c: entry["context"][ORGANS[c - 1]] for c in classes if ORGANS[c - 1] in entry["context"]}
    unsound = {c: frozenset(entry.get("slices_without_context", {}).get(ORGANS[c - 1], ())) for c in context}
    return Patient(case.name, image, labels, spacing, frozenset(context), unsound, context, settings.least_context)


def check_labels(found: list[Case], settings: Patients) -> None:
    """Raises ConfigError if an organ's value stands in no contours of the hand that scores:
    it would be learnt that there is none."""
    missing = dict(settings.labels)
    for case in found:
        values = set(np.unique(contours(case.coarse[case.first], case.image).values).tolist())
        missing = {organ: value for organ, value in missing.items() if value not in values}
    if missing:
        said = ", ".join(f"{organ} = {value}" for organ, value in missing.items())
        raise ConfigError(
            f"[patients.labels] {said}: no patient's contours by {found[0].first} have "
            "that value. Correct it, or leave the organ out."
        )


def index_entry(index: str, case: Case) -> dict | None:
    if not index:
        return None
    try:
        entries = json.loads(Path(index).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"[patients] index: {index} cannot be read as JSON ({error}).") from None
    if case.name not in entries:
        raise ConfigError(f"[patients] index: {index} has no entry {case.name}.")
    return entries[case.name]


def shares(case: Case, hand: str, settings: Patients, mapping: grid.Mapping, organ: int) -> np.ndarray:
    """float32 (z, y, x): how much of each voxel of a network grid lies inside the finest contours of `hand`."""
    widths = [1 / scale for scale in mapping.scale]
    positions = [mapping.to_ct(axis) for axis in range(3)]
    return contours(case.fine[hand], case.image).share(settings.labels[ORGANS[organ - 1]], positions, widths)


def finest(case: Case, hand: str, settings: Patients) -> Inside:
    """Where organs are on a network grid: voxels of which at least half lies inside the finest contours of `hand`."""
    return lambda organ, mapping: shares(case, hand, settings, mapping, organ) >= 0.5
