"""A data set in the layout of the StructSeg challenge: <patient>/data.nii.gz and <patient>/label.nii.gz."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import UnusableInput, WrongUsage
from ..silent_libraries import quiet

CT, LABELS, INDEX = "data.nii.gz", "label.nii.gz", "index.json"
ENOUGH_CONTEXT = 0.9
CORD = "SpinalCord"
_OPENKBP = {
    1: "Brainstem",
    2: "SpinalCord",
    3: "Parotid_L",
    4: "Parotid_R",
    5: "Bone_Mandible",
    6: "Larynx",
    7: "Esophagus",
}
PRESETS: dict[str, dict[int, str]] = {
    "openkbp": _OPENKBP,
    "openkbp-eyes": _OPENKBP | {8: "Eye_L", 9: "Eye_R"},
    "structseg": {  # the head-and-neck organs of StructSeg 2019, task 1
        1: "Eye_L", 2: "Eye_R", 3: "Lens_L", 4: "Lens_R", 5: "OpticNrv_L", 6: "OpticNrv_R", 7: "OpticChiasm",
        8: "Pituitary", 9: "Brainstem", 10: "Lobe_Temporal_L", 11: "Lobe_Temporal_R", 12: "SpinalCord",
        13: "Parotid_L", 14: "Parotid_R", 15: "Ear_Internal_L", 16: "Ear_Internal_R", 17: "Ear_Middle_L",
        18: "Ear_Middle_R", 19: "Joint_TM_L", 20: "Joint_TM_R", 21: "Bone_Mandible_L", 22: "Bone_Mandible_R",
    },
    "tcia": {
        1: "Eye_L", 2: "Eye_R", 3: "Brainstem", 4: "SpinalCord", 5: "Parotid_L", 6: "Parotid_R", 7: "Bone_Mandible",
        8: "Brain", 9: "SpinalCanal",
    },
}  # fmt: skip


def read_label_map(choice: str) -> dict[int, str]:
    """Label value -> TG-263 name, of a preset or a JSON file like {"1": "Brainstem"}. Raises WrongUsage."""
    if choice in PRESETS:
        return PRESETS[choice]
    path = Path(choice)
    if not path.is_file():
        raise WrongUsage(f"There is no label map {choice}: give a JSON file or one of {', '.join(PRESETS)}.")
    try:
        labels = {int(value): str(name) for value, name in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, AttributeError) as error:
        raise WrongUsage(f'{path} is no label map: write JSON like {{"1": "Brainstem", "2": "SpinalCord"}}.') from error
    if not labels or min(labels) < 1 or len(set(labels.values())) < len(labels):
        raise WrongUsage(f"{path} is no label map: it needs labels from 1, each with a name of its own.")
    return labels


@dataclass(frozen=True)
class Patient:
    """One folder of the data set. entry: what index.json says of it, None without one."""

    name: str
    folder: Path
    entry: dict | None = None

    @property
    def ct(self) -> Path:
        return self.folder / CT

    def read_reference(self) -> sitk.Image:
        """Raises UnusableInput. Not kept: the references of a whole data set would fill the memory."""
        return read_image(self.folder / LABELS)

    def why_not_counted(self, organ: str) -> str | None:
        """Why the organ is left out by index.json, None if it counts."""
        if self.entry is None:
            return None
        context = self.entry.get("context", {}).get(organ)
        if context is None:
            return "not drawn, says index.json"
        return (
            None
            if context >= ENOUGH_CONTEXT
            else f"sound surroundings on {context:.0%} of its slices only, says index.json"
        )

    def is_absent(self, organ: str, reference: np.ndarray) -> bool:
        """Whether the scan is known to lack the organ: index.json knows it on every slice, and not a voxel is drawn."""
        context = (self.entry or {}).get("context", {}).get(organ)
        return context is not None and context >= 1.0 and not reference.any()

    def counted_slices(self, organ: str, reference: np.ndarray) -> np.ndarray:
        """bool per slice k of the reference mask: not named in index.json;
        of the cord only from its first to its last."""
        counted = np.ones(len(reference), bool)
        blank = (self.entry or {}).get("slices_without_context", {}).get(organ, [])
        counted[[k for k in blank if k < len(counted)]] = False
        if organ == CORD:
            drawn = np.flatnonzero(reference.any(axis=(1, 2)))
            if len(drawn):
                counted[: drawn[0]] = counted[drawn[-1] + 1 :] = False
        return counted


@dataclass
class Dataset:
    folder: Path
    patients: list[Patient]
    index: Path | None = None
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path, index: Path | None = None, needs_ct: bool = True) -> Dataset:
        """Find the patients below a folder. index: an index.json; without it the one in the folder or its parent is
        used, if there is one. Raises UnusableInput."""
        if not folder.is_dir():
            raise UnusableInput(
                f"{folder} is no folder: give the folder that holds <patient>/{CT} and <patient>/{LABELS}."
            )
        needed = (CT, LABELS) if needs_ct else (LABELS,)
        labelled = sorted(
            {file.parent for pattern in (f"*/{LABELS}", f"*/*/{LABELS}") for file in folder.glob(pattern)}, key=_natural
        )
        found = [place for place in labelled if all((place / name).is_file() for name in needed)]
        if not found:
            raise UnusableInput(
                f"{folder} holds no <patient>/{' and <patient>/'.join(needed)}: is this the right folder?"
            )
        warnings = [
            f"{place.relative_to(folder)} was left out: it has no {CT}." for place in labelled if place not in found
        ]
        index = index or next(
            (file for file in (folder / INDEX, folder.absolute().parent / INDEX) if file.is_file()), None
        )
        entries = _read_index(index) if index else {}
        patients = []
        for place in found:
            entry = _entry(entries, place, index) if index else None
            if index and entry is None:
                warnings.append(f"{index.name} does not name {place.relative_to(folder)}: all of its slices count.")
            patients.append(Patient(place.relative_to(folder).as_posix(), place, entry))
        return cls(folder, patients, index, warnings)

    def only(self, names: list[str]) -> Dataset:
        """Those of the patients; a name is the folder's, or the path below the data set's.
        Raises WrongUsage if there is none of a name."""
        wanted = [name.strip() for name in names]
        chosen = [patient for patient in self.patients if patient.name in wanted or patient.folder.name in wanted]
        found = {name for patient in chosen for name in (patient.name, patient.folder.name)}
        if missing := [name for name in wanted if name not in found]:
            raise WrongUsage(f"{self.folder} has no patient {', '.join(missing)}.")
        return replace(self, patients=chosen)


def _natural(folder: Path) -> tuple:
    """pt_9 before pt_10."""
    digits = "".join(character for character in folder.name if character.isdigit())
    return folder.parent, len(digits), folder.name


def _read_index(path: Path) -> dict:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        if all(isinstance(entry, dict) for entry in entries.values()):
            return entries
    except (OSError, ValueError, AttributeError) as error:
        raise UnusableInput(f"{path} cannot be read as JSON: repair it, or give another with --index.") from error
    raise UnusableInput(f"{path} does not describe patients: give another with --index.")


def _entry(entries: dict, place: Path, index: Path) -> dict | None:
    try:
        path = place.resolve().relative_to(index.resolve().parent).as_posix()
    except ValueError:
        path = place.name
    return entries.get(path, entries.get(place.name))


@quiet()
def read_image(path: Path) -> sitk.Image:
    """Raises UnusableInput."""
    try:
        return sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise UnusableInput(f"{path} cannot be read: is it a complete NIfTI file?") from error
