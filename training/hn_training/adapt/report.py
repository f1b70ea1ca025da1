"""Before and after, beside a second hand and the old contours, as a table to read and a file for programs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ..config import ORGANS
from ..packing.model_folder import write_json
from . import advice, measures


@dataclasses.dataclass(frozen=True)
class Report:
    """`compared`: by party ("before", "thresholds alone", "after", other hands, the old contours), patient and organ
    the measures against `hand`."""

    compared: dict[str, dict[str, dict]]
    thresholds: dict[str, float]
    fold_steps: list[int]
    hand: str
    crossed: bool

    @property
    def after(self) -> dict[str, dict]:
        return self.compared["after"]


def write(out: Path, report: Report) -> None:
    """report.json and report.md in `out`."""
    write_json(out / "report.json", dataclasses.asdict(report))
    (out / "report.md").write_text(markdown(report), encoding="utf-8")


def markdown(report: Report) -> str:
    parties = {
        name: {patient: found for patient, found in scores.items() if patient in report.after}
        for name, scores in report.compared.items()
    }
    how = (
        "Cross-validated: each patient by a model that did not learn from him, at thresholds of the other folds."
        if report.crossed
        else (
            "On the patients that were set aside for early stopping, which chose when to "
            "stop and the thresholds: too good by a little."
        )
    )
    lines = [
        f"# Agreement with {report.hand}",
        "",
        (
            f"{how} On the CT's grid, slices that count, no post-processing. "
            "Thresholds alone: the model as it was, at thresholds chosen as those after."
        ),
        "",
        *advice.markdown(advice.gains(report.compared["before"], report.after), report.crossed),
    ]
    for title, column, digits in (
        ("Dice, mean", 1, 3),
        ("Volume, times the reference's, mean", 2, 2),
        ("95 % Hausdorff distance, median, mm", 3, 1),
    ):
        lines += [
            f"## {title}",
            "",
            f"| Organ | {' | '.join(f'{name} (patients)' for name in parties)} |",
            "| --- " * (len(parties) + 1) + "|",
        ]
        for organ in ORGANS:
            cells = [measures.summary(scores, organ) for scores in parties.values()]
            if any(cell[0] for cell in cells):
                lines.append(
                    f"| {organ} | "
                    f"{' | '.join(f'{cell[column]:.{digits}f} ({cell[0]})' if cell[0] else '' for cell in cells)} |"
                )
        lines.append("")
    lines += [
        "Thresholds of the model: "
        + (", ".join(f"{organ} {value}" for organ, value in report.thresholds.items()) or "0.5")
        + "."
    ]
    if report.fold_steps:
        lines += ["", f"Best steps of the folds: {', '.join(map(str, report.fold_steps))}."]
    return "\n".join([*lines, "", "## Dice of every patient, after", "", *patients(report)]) + "\n"


def patients(report: Report) -> list[str]:
    lines = [f"| Patient | {' | '.join(ORGANS)} |", "| --- " * (len(ORGANS) + 1) + "|"]
    for name, organs in report.after.items():
        lines.append(
            f"| {name} | "
            f"{' | '.join(f'''{organs[organ]['dice']:.2f}''' if organ in organs else '' for organ in ORGANS)} |"
        )
    return lines
