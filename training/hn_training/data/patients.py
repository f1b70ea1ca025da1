"""Patients as they lie on disk, and what of their contours may be trusted."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import SpatialImage

from ..config import ORGANS, ConfigError, Data, three


@dataclass(frozen=True)
class Patient:
    """A CT in HU and its contours, both (z, y, x), LPS axes; spacing in mm, x, y, z.

    `labels` holds network classes. `unsound` lists, per class, slices (z) whose contour does not
    count. `drawn` holds the classes that were contoured, `context` the share of sound slices, of which a score
    needs `least_context`.
    """

    name: str
    image: np.ndarray
    labels: np.ndarray
    spacing: tuple[float, float, float]
    drawn: frozenset[int]
    unsound: dict[int, frozenset[int]] = field(default_factory=dict)
    context: dict[int, float] = field(default_factory=dict)
    least_context: float = 0.9

    def sound_slices(self, organ: int) -> np.ndarray:
        """(z,) bool: slices on which the contour of class `organ` counts.

        The spinal cord counts only between its first and last drawn slice: every hand stopped
        it elsewhere. All False for an organ that was not drawn.
        """
        sound = np.full(len(self.image), organ in self.drawn)
        sound[sorted(self.unsound.get(organ, ()))] = False
        if ORGANS[organ - 1] == "SpinalCord":
            inside = np.flatnonzero((self.labels == organ).any(axis=(1, 2)))
            if len(inside):
                sound[: inside[0]] = sound[inside[-1] + 1 :] = False
        return sound

    def counts(self, organ: int) -> bool:
        """Whether this patient's score for class `organ` counts: enough of its slices are sound."""
        return organ in self.drawn and self.context.get(organ, 0.0) >= self.least_context


def folders(root: str | Path) -> list[Path]:
    """Patient folders under `root`, in natural order; raises FileNotFoundError if there are none."""
    found = [p.parent for p in Path(root).glob("*/data.nii.gz")]
    if not found:
        raise FileNotFoundError(f"{root} holds no folder with a data.nii.gz.")
    return sorted(found, key=lambda p: (len(p.name), p.name))


def read(folder: Path, data: Data) -> Patient:
    """Reads one patient; without an index every organ with a voxel counts on every slice."""
    image, spacing = read_lps(folder / "data.nii.gz")
    raw, _ = read_lps(folder / "label.nii.gz")
    classes = {ORGANS.index(organ) + 1: value for organ, value in data.labels.items()}
    labels = np.zeros(raw.shape, np.uint8)
    for organ, value in classes.items():
        labels[raw == value] = organ
    entry = index_entry(data.index_of(folder), folder)
    if entry is None:
        drawn = frozenset(c for c in classes if (labels == c).any())
        return Patient(folder.name, image, labels, spacing, drawn, {}, dict.fromkeys(drawn, 1.0))
    context = {c: entry["context"][ORGANS[c - 1]] for c in classes if ORGANS[c - 1] in entry["context"]}
    unsound = {c: frozenset(entry.get("slices_without_context", {}).get(ORGANS[c - 1], ())) for c in context}
    return Patient(folder.name, image, labels, spacing, frozenset(context), unsound, context)


def load_volume(path: Path) -> SpatialImage:
    """Raises ImageFileError where the file holds no volume."""
    file = nib.load(path)
    if not isinstance(file, SpatialImage):
        raise ImageFileError(f"{path.name} holds no volume")
    return file


def read_lps(path: Path) -> tuple[np.ndarray, tuple[float, float, float]]:
    """A NIfTI volume as (z, y, x) with LPS axes, and its spacing in mm, x, y, z."""
    file = load_volume(path)
    turn = nib.orientations.ornt_transform(nib.io_orientation(file.affine), nib.orientations.axcodes2ornt("LPS"))
    file = file.as_reoriented(turn)
    volume = np.ascontiguousarray(np.asarray(file.dataobj).T)
    return volume, three(float(s) for s in file.header.get_zooms()[:3])


def index_entry(index: str, folder: Path) -> dict | None:
    if not index:
        return None
    entries = json.loads(Path(index).read_text(encoding="utf-8"))
    name = f"{folder.parent.name}/{folder.name}"
    if name not in entries:
        raise ConfigError(f"The index {index} has no entry {name}.")
    return entries[name]
