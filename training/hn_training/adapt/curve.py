"""The learning curve: what a few patients' contours teach, by how many teach; every patient is scored every time."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..config import ORGANS, ConfigError
from ..packing.model_folder import write_json
from . import advice, measures
from .settings import Settings
from .whole import BEFORE, BLENDED, SCORES, Adaptation, crossed

TABLE, FOUND = "curve.md", "curve.json"


def curve(model: Path, settings: Settings, out: Path, folds: int, counts: Sequence[int]) -> Path:
    """Trains for every fold with so many of its other patients, drawn by the seed, the fewer being among the more.

    Every run takes all its steps, and nobody is set aside to stop it: what is compared is the number alone. Gives the
    table's path; goes on after a stop. Raises ConfigError as `adapt` does, and for counts that can't be.
    """
    whole = Adaptation(model, settings, out, folds)
    cases = whole.ordered()
    most = len(cases) - max(len(cases[number::folds]) for number in range(folds)) if folds else 0
    if not all(1 <= count <= most for count in counts):
        raise ConfigError(f"--counts: with {len(cases)} patients in {folds} folds, from 1 to {most} can teach.")
    found: dict[int, dict[str, dict]] = {count: {} for count in counts}
    for number in range(folds):
        test = cases[number::folds]
        others = [case for case in cases if case not in test]
        random.Random(f"{settings.optimise.seed} {number}").shuffle(others)
        for count in counts:
            name = f"fold_{number + 1}_of_{count}"
            whole.learn(others[:count], whole.config, name, stopping=False)
            found[count][name] = whole.scores(out / name / BLENDED, test, out / name / SCORES)
    before = measures.at(whole.scores(whole.start, cases, out / BEFORE), {})
    after = {count: crossed(parts) for count, parts in found.items()}
    write_json(out / FOUND, {"before": before, "after": {str(count): scores for count, scores in after.items()}})
    (out / TABLE).write_text(markdown(before, after, cases[0].first), encoding="utf-8")
    return out / TABLE


def markdown(before: dict[str, dict], after: dict[int, dict[str, dict]], hand: str) -> str:
    """A row an organ, a column a count: mean Dice, and what the patients gained, mean and standard deviation."""
    gains = {count: {gain.organ: gain for gain in advice.gains(before, scores)} for count, scores in after.items()}
    lines = [
        f"# Dice with {hand} by how many patients taught",
        "",
        (
            "Mean Dice; in brackets what the patients gained, mean and standard deviation over patients. Each was "
            "scored by models that did not learn from him, at thresholds of the other folds."
        ),
        "",
        f"| Organ | patients scored | before | {' | '.join(f'{count} taught' for count in after)} |",
        "| --- " * (len(after) + 3) + "|",
    ]
    for organ in ORGANS:
        patients, dice, _, _ = measures.summary(before, organ)
        if not patients:
            continue
        cells = []
        for count, scores in after.items():
            gained = gains[count][organ].gains
            spread = f" ± {np.std(gained, ddof=1):.3f}" if len(gained) > 1 else ""
            cells.append(f"{measures.summary(scores, organ)[1]:.3f} ({np.mean(gained):+.3f}{spread})")
        lines.append(f"| {organ} | {patients} | {dice:.3f} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])
