"""The most that a network could reach on its grid:
the contours themselves, as fine as it predicts, against the hand that scores."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from .. import grid
from ..config import ORGANS, Config
from ..networks.densevnet import resize
from ..scoring.score import counted
from . import hands, measures
from .settings import Settings

STRIDES = (2, 1)
"""Voxels of the network's grid to one of its prediction:
as the networks here have it, and what a finer one would have."""


def scores(settings: Settings, config: Config) -> dict[int, dict[str, dict]]:
    """Measures of the first hand's finest contours by stride, patient and organ.

    They are averaged to the prediction's voxels and go the way of a prediction from there on: linearly to the network's
    grid, linearly to the CT's voxels, and above one half.
    """
    found: dict[int, dict[str, dict]] = {stride: {} for stride in STRIDES}
    for case in hands.cases(settings.patients):
        patient = hands.read(case, case.first, settings.patients)
        mapping = grid.body_mapping(patient.image, patient.spacing, config.grid.spacing_mm)
        positions = [mapping.to_network(axis) for axis in range(3)]
        for organ, sound in counted(patient, absent=False):
            share = torch.from_numpy(hands.shares(case, case.first, settings.patients, mapping, organ))[None, None]
            for stride in STRIDES:
                coarse = F.avg_pool3d(share, stride, ceil_mode=True, count_include_pad=False)
                ours = resize(coarse, [stride * size for size in coarse.shape[2:]])[0, 0].numpy()
                drawn = measures.measured(grid.sample(ours, positions) > 0.5, patient, organ, sound)
                found[stride].setdefault(case.name, {})[ORGANS[organ - 1]] = drawn
    return found


def markdown(found: dict[int, dict[str, dict]], config: Config) -> str:
    sizes = {stride: " x ".join(f"{stride * mm:g}" for mm in config.grid.spacing_mm) for stride in found}
    columns = [f"{what}, {sizes[stride]} mm" for stride in found for what in ("Dice", "volume", "HD95 (mm)")]
    lines = [f"| Organ | Patients | {' | '.join(columns)} |", "| --- " * (len(columns) + 2) + "|"]
    for organ in ORGANS:
        cells = [measures.summary(patients, organ) for patients in found.values()]
        if cells[0][0]:
            lines.append(
                f"| {organ} | {cells[0][0]} | "
                f"{' | '.join(f'{dice:.3f} | {volume:.2f} | {distance:.1f}' for _, dice, volume, distance in cells)} |"
            )
    return "\n".join(lines)
