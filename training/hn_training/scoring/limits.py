"""What keeps the scores down: whether two networks differ from each other as they do from the clinics,
and where organs end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from monai.metrics import compute_hausdorff_distance

from ..config import ORGANS, Config, ConfigError
from ..data.patients import Patient, folders, read, read_lps

COLUMNS = (
    "organ",
    "patients",
    "first",
    "second",
    "first and second",
    "correlation",
    "first, between common ends",
    "HD95 first (mm)",
    "HD95 first and second (mm)",
)


def rows(config: Config, first: Path, second: Path) -> list[tuple]:
    """Per organ `COLUMNS`: mean Dice over the validation patients that count, on their sound slices.

    first, second: folders with <patient>/segmentations/<organ>.nii.gz. "first" and "second" against the reference, then
    both against each other; the correlation of their Dice over patients; the first against the reference on the slices
    between the ends that both draw; and medians of the 95 % Hausdorff distance. ConfigError if a folder has nothing of
    a patient: that is not the same as an organ not found.
    """
    found: dict[str, list[tuple]] = {organ: [] for organ in ORGANS}
    for folder in folders(config.data.validation):
        patient = read(folder, config.data)
        for number, organ in enumerate(ORGANS, start=1):
            if patient.counts(number) and (patient.labels == number).any():
                found[organ].append(compare(patient, number, first, second))
    return [summary(organ, np.array(scores)) for organ, scores in found.items() if scores]


def compare(patient: Patient, number: int, first: Path, second: Path) -> tuple[float, ...]:
    """Dice of first and reference, second and reference, first and second, first and reference between common ends;
    HD95 of first and reference, first and second."""
    sound = patient.sound_slices(number)[:, None, None]
    reference = (patient.labels == number) & sound
    one, two = (mask(folder, patient, ORGANS[number - 1]) & sound for folder in (first, second))
    common = between_common_ends(one, reference)
    return (
        dice(one, reference),
        dice(two, reference),
        dice(one, two),
        dice(one[common], reference[common]),
        hausdorff95(one, reference, patient.spacing),
        hausdorff95(one, two, patient.spacing),
    )


def mask(folder: Path, patient: Patient, organ: str) -> np.ndarray:
    """A stored labelmap (z, y, x), nothing where the organ has no file."""
    if not (folder / patient.name).is_dir():
        raise ConfigError(
            f"{folder} has no folder {patient.name}. Give the folder predictions of an evaluation of these patients."
        )
    file = folder / patient.name / "segmentations" / f"{organ}.nii.gz"
    return read_lps(file)[0] > 0 if file.exists() else np.zeros(patient.labels.shape, bool)


def between_common_ends(one: np.ndarray, other: np.ndarray) -> slice:
    """The slices (z) from the higher of the lower ends to the lower of the upper ends."""
    ends = [np.flatnonzero(volume.any(axis=(1, 2))) for volume in (one, other)]
    if any(len(slices) == 0 for slices in ends):
        return slice(0, 0)
    return slice(max(slices[0] for slices in ends), min(slices[-1] for slices in ends) + 1)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * np.count_nonzero(one & other) / max(1, int(np.count_nonzero(one) + np.count_nonzero(other)))


def hausdorff95(one: np.ndarray, other: np.ndarray, spacing: Sequence[float]) -> float:
    """mm, the larger of both directions' 95th percentiles; spacing: x, y, z. Infinite if one of them is empty."""
    if not one.any() or not other.any():
        return float("inf")
    both = np.nonzero(one | other)
    box = tuple(slice(axis.min(), axis.max() + 1) for axis in both)
    masks = [torch.from_numpy(np.pad(volume[box], 1))[None, None] for volume in (one, other)]
    return float(
        compute_hausdorff_distance(*masks, include_background=True, percentile=95, spacing=list(spacing)[::-1])
    )


def summary(organ: str, scores: np.ndarray) -> tuple:
    with np.errstate(invalid="ignore"):  # no spread, no correlation
        together = np.corrcoef(scores[:, 0], scores[:, 1])[0, 1] if len(scores) > 1 else float("nan")
    one, two, both, ends = scores[:, :4].mean(axis=0)
    return organ, len(scores), one, two, both, together, ends, *np.median(scores[:, 4:], axis=0).tolist()


def markdown(lines: list[tuple]) -> str:
    head = [f"| {' | '.join(COLUMNS)} |", "| --- " * len(COLUMNS) + "|"]
    return "\n".join(
        head + [f"| {' | '.join(f'{v:.3f}' if isinstance(v, float) else str(v) for v in line)} |" for line in lines]
    )
