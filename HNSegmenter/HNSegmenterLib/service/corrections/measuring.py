"""What a reviewer changed of one patient's organs, in figures that tell nothing of the patient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

import numpy as np

from ...evaluation.metrics import compare
from ...rtstruct.readback import LEAST_DICE
from ...rtstruct.rois import AUTOMATIC

DIGITS = 4  # of what is kept


class Change(StrEnum):
    """What became of an organ between the network and the approval."""

    UNTOUCHED = "untouched"
    EDITED = "edited"
    ADDED = "added"  # not found by the network, drawn by the reviewer
    REMOVED = "removed"  # found by the network, not in the approved set


CORRECTED = (Change.EDITED, Change.ADDED, Change.REMOVED)


@dataclass(frozen=True)
class Drawn:
    """An organ as the network drew it. model: name and version; mask: bool [k, j, i] on the CT's grid, None where it
    drew nothing or its labelmap is not at hand; found: whether it drew the organ."""

    model: str
    found: bool
    mask: np.ndarray | None = None


@dataclass(frozen=True)
class Approved:
    """An organ as it was approved. algorithm: ROI Generation Algorithm; mask: bool [k, j, i] on the CT's grid."""

    algorithm: str
    mask: np.ndarray


@dataclass(frozen=True)
class Correction:
    """One organ. dice: of drawn and approved; volume_change_percent: of the drawn volume; largest_mm: the largest
    distance between both surfaces. None where one of them is missing."""

    organ: str
    model: str
    change: str
    dice: float | None = None
    volume_change_percent: float | None = None
    largest_mm: float | None = None

    def to_dict(self) -> dict:
        return asdict(self)


def corrections(
    drawn: Mapping[str, Drawn], approved: Mapping[str, Approved], spacing: tuple[float, float, float]
) -> list[Correction]:
    """One for each organ that the network drew or was asked for and the reviewer drew, in the order of `drawn`.

    Both by organ name; organs that the model lacks are not in `drawn`. spacing: mm (x, y, z).
    """
    found = (_correction(name, there, approved.get(name), spacing) for name, there in drawn.items())
    return [one for one in found if one is not None]


def _correction(
    name: str, drawn: Drawn, approved: Approved | None, spacing: tuple[float, float, float]
) -> Correction | None:
    if approved is None or not approved.mask.any():
        return Correction(name, drawn.model, Change.REMOVED) if drawn.found else None
    if not drawn.found:
        return Correction(name, drawn.model, Change.ADDED)
    if drawn.mask is None or not drawn.mask.any():
        stated = Change.UNTOUCHED if approved.algorithm == AUTOMATIC else Change.EDITED
        return Correction(name, drawn.model, stated)
    agreement = compare(drawn.mask, approved.mask, spacing)
    return Correction(
        name,
        drawn.model,
        change_of(agreement.dice, approved.algorithm),
        round(float(agreement.dice), DIGITS),
        round(float(agreement.volume_error_percent), DIGITS),
        None if agreement.largest_mm is None else round(float(agreement.largest_mm), DIGITS),
    )


def change_of(dice: float, algorithm: str) -> Change:
    """Whether somebody edited an organ that both drew.

    The same voxels are untouched, whatever is stated. Where they differ, a statement that somebody edited is believed;
    one that nobody did only as far as another program's outlines of the same voxels differ (readback.LEAST_DICE).
    """
    least = LEAST_DICE if algorithm == AUTOMATIC else 1.0
    return Change.UNTOUCHED if dice >= least else Change.EDITED
