"""Whether to take the adapted model, organ by organ: what the patients gained, and whether that is more than chance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from ..config import ORGANS

LEVEL = 0.95
LEAST_PATIENTS = 4
NO_MATTER = 0.005
"""A mean difference in Dice that no reviewer would notice."""
MOST = 100
"""Patients beyond which nobody is asked for more."""


@dataclass(frozen=True)
class Gain:
    """Of one organ: the Dice that each patient gained. reach: half the 95 % interval of the mean gain (Student's t)."""

    organ: str
    gains: tuple[float, ...]

    @property
    def mean(self) -> float:
        return float(np.mean(self.gains))

    @property
    def reach(self) -> float:
        n = len(self.gains)
        if n < 2:
            return math.inf
        return float(student.ppf((1 + LEVEL) / 2, n - 1) * np.std(self.gains, ddof=1) / math.sqrt(n))

    @property
    def clear(self) -> bool:
        return len(self.gains) >= LEAST_PATIENTS and abs(self.mean) > self.reach

    @property
    def more(self) -> int:
        """How many more such patients would make a mean gain of this size clear, about."""
        if len(self.gains) < 2:
            return LEAST_PATIENTS - len(self.gains)
        spread = float(np.std(self.gains, ddof=1))
        needed = max(LEAST_PATIENTS, math.ceil((2 * spread / max(abs(self.mean), 1e-9)) ** 2) + 1)
        return max(1, needed - len(self.gains))

    @property
    def sentence(self) -> str:
        if self.clear and abs(self.mean) >= NO_MATTER:
            return "take the new model" if self.mean > 0 else "keep the old model"
        if len(self.gains) >= LEAST_PATIENTS and abs(self.mean) + self.reach < 2 * NO_MATTER:
            return "no difference that matters: either will do"
        if len(self.gains) >= LEAST_PATIENTS and self.more > MOST:
            return "no clear difference, and more patients would hardly show one: either will do"
        better = "better" if self.mean > 0 else "worse"
        return f"looks {better}, but may be chance: about {self.more} more patients would tell"


def gains(before: dict[str, dict], after: dict[str, dict]) -> list[Gain]:
    """By organ in the order of ORGANS; measures by patient and organ, of patients and organs that both have."""
    found = []
    for organ in ORGANS:
        pairs = [
            (before[patient][organ]["dice"], organs[organ]["dice"])
            for patient, organs in after.items()
            if organ in organs and organ in before.get(patient, {})
        ]
        if pairs:
            found.append(Gain(organ, tuple(new - old for old, new in pairs)))
    return found


def markdown(found: list[Gain], crossed: bool) -> list[str]:
    """crossed: whether each patient was scored by a model that did not learn from this patient."""
    taken = [gain.organ for gain in found if gain.sentence.startswith("take")]
    kept = [gain.organ for gain in found if gain.sentence.startswith("keep")]
    parts = [f"take the new model for {', '.join(taken)}"] * bool(taken)
    parts += [f"keep the old one for {', '.join(kept)}"] * bool(kept)
    plain = "; ".join(parts) if parts else "nothing is clear yet, keep the old model"
    lines = ["## Take it, or not?", "", f"{plain[:1].upper()}{plain[1:]}."]
    if not crossed:
        lines += ["", "These patients chose when to stop: run again with `--folds` before you believe a gain."]
    lines += [
        "",
        "| Organ | Patients | Dice gained, mean | 95 % interval | better, worse | Advice |",
        "| --- " * 6 + "|",
    ]
    for gain in found:
        low, high = gain.mean - gain.reach, gain.mean + gain.reach
        interval = f"{low:+.3f} to {high:+.3f}" if math.isfinite(gain.reach) else ""
        better, worse = sum(one > 0 for one in gain.gains), sum(one < 0 for one in gain.gains)
        cells = (gain.organ, len(gain.gains), f"{gain.mean:+.3f}", interval, f"{better}, {worse}", gain.sentence)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return [*lines, ""]
