"""Figures over all patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .evaluate import MISSED, Row

Spread = tuple[float, float | None]
"""Mean and standard deviation (n - 1), None of a single one."""


@dataclass(frozen=True)
class Summary:
    """One organ over all patients, on the CTs as they are.

    Dice with the missed ones as 0, distances' means without them; hd95_median_mm has them as infinite. None where there
    is nothing to average. top_mm, bottom_mm: median of the ends of the cord; centre_mm: median of the eyes' distances.
    """

    organ: str
    patients: int
    missed: int
    dice: Spread | None
    dice_median: float | None
    hd95_mm: Spread | None
    hd95_median_mm: float | None
    msd_mm: Spread | None
    volume_error_percent: Spread | None
    top_mm: float | None
    bottom_mm: float | None
    centre_mm: float | None


@dataclass(frozen=True)
class Loss:
    """One organ on one kind of varied CT: Dice there and of the same patients on their CTs as they are,
    both on what is in view."""

    variation: str
    organ: str
    patients: int
    missed: int
    unchanged: float
    varied: float
    worst: tuple[str, float]

    @property
    def loss(self) -> float:
        """Difference of the means."""
        return self.unchanged - self.varied


def summarise(rows: Sequence[Row]) -> list[Summary]:
    """In the order of the organs' first appearance; organs without any comparison are in with 0 patients.
    Varied CTs are left out."""
    plain = [row for row in rows if not row.variation]
    organs = dict.fromkeys(row.organ for row in plain if row.organ)
    return [_summary(organ, [row for row in plain if row.organ == organ and row.agreement]) for organ in organs]


def losses(rows: Sequence[Row]) -> list[Loss]:
    """For each variation and organ that has a reference, in the order of their first appearance."""
    varied = [row for row in rows if row.variation and row.unchanged and row.agreement]
    variations, organs = (dict.fromkeys(getattr(row, kind) for row in varied) for kind in ("variation", "organ"))
    groups = {
        (name, organ): [row for row in varied if (row.variation, row.organ) == (name, organ)]
        for name in variations
        for organ in organs
    }
    return [_loss(*kind, group) for kind, group in groups.items() if group]


def _summary(organ: str, rows: list[Row]) -> Summary:
    agreements = [row.agreement for row in rows if row.agreement]
    dice = [agreement.dice for agreement in agreements]
    hd95 = _median([np.inf if agreement.hd95_mm is None else agreement.hd95_mm for agreement in agreements])
    return Summary(
        organ,
        len(rows),
        sum(row.status == MISSED for row in rows),
        _spread(dice),
        _median(dice),
        _spread([agreement.hd95_mm for agreement in agreements if agreement.hd95_mm is not None]),
        hd95 if hd95 is not None and np.isfinite(hd95) else None,
        _spread([agreement.msd_mm for agreement in agreements if agreement.msd_mm is not None]),
        _spread([agreement.volume_error_percent for agreement in agreements]),
        _median([row.ends.top_mm for row in rows if row.ends and row.ends.top_mm is not None]),
        _median([row.ends.bottom_mm for row in rows if row.ends and row.ends.bottom_mm is not None]),
        _median([row.centre_mm for row in rows if row.centre_mm is not None]),
    )


def _loss(variation: str, organ: str, rows: list[Row]) -> Loss:
    dice = [(row.patient, row.unchanged.dice, row.agreement.dice) for row in rows if row.unchanged and row.agreement]
    falls = {patient: unchanged - varied for patient, unchanged, varied in dice}
    worst = max(falls, key=falls.__getitem__)
    return Loss(
        variation,
        organ,
        len(rows),
        sum(row.status == MISSED for row in rows),
        float(np.mean([unchanged for _, unchanged, _ in dice])),
        float(np.mean([varied for _, _, varied in dice])),
        (worst, falls[worst]),
    )


def _spread(values: list[float]) -> Spread | None:
    if not values:
        return None
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def _median(values: list[float]) -> float | None:
    return float(np.median(values)) if values else None
