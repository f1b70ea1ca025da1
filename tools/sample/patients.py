"""The CTs that the template averages: which ones, where their images are sound, and where their anatomy lies.

Arrays are [k, j, i]; points are (x, y, z) in mm, LPS, in a frame whose origin is the centre of the brainstem.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

LABELS = {"Brainstem": 1, "SpinalCord": 2, "Parotid_L": 3, "Parotid_R": 4}
_MANDIBLE = 5
_SOUND_AREA_MM2 = 12_000  # a blanked slice holds nothing or an organ alone; necks have 100 cm2, heads 200 or more
_CORD_STEPS_MM = (0, 25, 50, 75, 100, 125)  # below the brainstem


@dataclass(frozen=True)
class Patient:
    """One registered patient.

    hu: int16 [k, j, i]; labels: uint8 [k, j, i]; spacing (x, y, z) mm; origin: voxel (0,0,0) in mm from the
    brainstem's centre; first_slice, last_slice: the slices from and to which whole cross-sections are shown, nothing
    beyond them counts (all these scans end below the vertex);
    landmarks: (n, 3) mm, the same anatomy in the same order in every patient.
    """

    name: str
    hu: np.ndarray
    labels: np.ndarray
    spacing: np.ndarray
    origin: np.ndarray
    first_slice: int
    last_slice: int
    landmarks: np.ndarray


def usable(index: dict) -> list[str]:
    """Training patients whose eyes are in view and whose four contoured organs lie in sound image."""
    return [
        name
        for name, entry in index.items()
        if name.startswith("train/")
        and entry["eyes_in_view"]
        and all(entry["context"].get(organ, 0) >= 0.9 for organ in LABELS)
    ]


def load(folder: Path, name: str, entry: dict) -> Patient | None:
    """Read one patient; None where a landmark is missing (no mandible, or a cord that was drawn too short)."""
    image = sitk.ReadImage(str(folder / name / "data.nii.gz"))
    hu = sitk.GetArrayFromImage(image).astype(np.int16)
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / name / "label.nii.gz")))
    spacing = np.array(image.GetSpacing())

    brainstem = _centre(labels == LABELS["Brainstem"]) * spacing
    landmarks = _landmarks(labels, spacing, entry["eye_candidates_ijk"])
    if landmarks is None:
        return None
    area = (hu > -500).sum((1, 2)) * spacing[0] * spacing[1]
    sound = np.flatnonzero(area > _SOUND_AREA_MM2)
    return Patient(name, hu, labels, spacing, -brainstem, int(sound[0]) + 1, int(sound[-1]) - 1, landmarks - brainstem)


def load_all(folder: Path, most: int) -> list[Patient]:
    """At most `most` usable patients, finest in-plane spacing first."""
    index = json.loads((folder / "index.json").read_text())
    names = sorted(usable(index), key=lambda name: (index[name]["spacing_mm"][0], name))
    patients: list[Patient] = []
    for name in names:
        patient = load(folder, name, index[name])
        if patient is not None:
            patients.append(patient)
        if len(patients) == most:
            break
    return patients


def _landmarks(labels: np.ndarray, spacing: np.ndarray, eyes: dict) -> np.ndarray | None:
    stem = labels == LABELS["Brainstem"]
    levels = np.flatnonzero(stem.any((1, 2)))
    mandible = labels == _MANDIBLE
    if not mandible.any():
        return None
    points = [
        _centre(stem) * spacing,
        _centre(_only_slices(stem, levels[-2:])) * spacing,
        _centre(_only_slices(stem, levels[:2])) * spacing,
        _centre(labels == LABELS["Parotid_L"]) * spacing,
        _centre(labels == LABELS["Parotid_R"]) * spacing,
        np.array(eyes["Eye_L"]) * spacing,
        np.array(eyes["Eye_R"]) * spacing,
        _chin(mandible) * spacing,
    ]
    cord = labels == LABELS["SpinalCord"]
    for below in _CORD_STEPS_MM:
        k = round(levels[0] - 2 - below / spacing[2])
        if k < 0 or not cord[k].any():
            return None
        points.append(_centre(_only_slices(cord, [k])) * spacing)
    return np.array(points)


def _centre(mask: np.ndarray) -> np.ndarray:
    """(x, y, z) voxel coordinates of the centre of gravity."""
    return np.array([axis.mean() for axis in np.nonzero(mask)][::-1])


def _only_slices(mask: np.ndarray, ks) -> np.ndarray:
    kept = np.zeros_like(mask)
    kept[ks] = mask[ks]
    return kept


def _chin(mandible: np.ndarray) -> np.ndarray:
    """The mandible's front: the mean of its foremost per cent."""
    k, j, i = np.nonzero(mandible)
    front = j <= np.quantile(j, 0.01)
    return np.array([i[front].mean(), j[front].mean(), k[front].mean()])
