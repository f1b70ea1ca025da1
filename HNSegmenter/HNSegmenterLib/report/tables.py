"""The evaluation's files: evaluation.csv, evaluation.md and, with matplotlib, evaluation.png."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

from .dataset import ENOUGH_CONTEXT, Dataset
from .evaluate import COMPARED, FAILED, MISSED, NO_REFERENCE, NOT_COUNTED, Row, Summary, summarise

CSV, TEXT, PICTURE = "evaluation.csv", "evaluation.md", "evaluation.png"
COLUMNS = (
    "patient", "organ", "status", "dice", "hd95_mm", "msd_mm", "reference_ml", "predicted_ml", "volume_error_ml",
    "volume_error_percent", "slices", "note",
)  # fmt: skip
SUMMARY_COLUMNS = ("Organ", "Patients", "Missed", "Dice", "Dice median", "HD95 (mm)", "MSD (mm)", "Volume error (%)")
BRIEF_COLUMNS = ("Organ", "n", "Dice", "HD95 (mm)", "MSD (mm)", "Volume (%)")
ROW_COLUMNS = ("Patient", "Organ", "Dice", "HD95 (mm)", "MSD (mm)", "Reference (ml)", "Volume error (ml)", "Volume error (%)", "Status")
DEFINITIONS = f"""Dice, distances and volumes are of the slices that count; the spinal cord counts only between the first and
last slice of its reference; with an index.json only organs with sound surroundings on {ENOUGH_CONTEXT:.0%} of their slices count, on
those. HD95 is the larger of the two directed 95th percentiles of the distances between surface voxels, MSD the mean of the
two directed means. A missed organ (nothing predicted) has Dice 0 and infinite distances: it is in the mean of Dice, and
not in those of the distances. Mean and standard deviation over patients; the volume error is predicted minus reference."""


def write_csv(rows: list[Row], path: Path) -> None:
    """One line a patient and organ, also of those not compared; empty cells where there is no figure."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        figures = [_figure(getattr(row.agreement, column)) if row.agreement else "" for column in COLUMNS[3:10]]
        writer.writerow([row.patient, row.organ, row.status, *figures, row.slices or "", row.note])
    _write(path, text.getvalue())


def summary_rows(summaries: list[Summary]) -> list[tuple]:
    """Cells of SUMMARY_COLUMNS."""
    return [
        (
            one.organ,
            one.patients,
            one.missed,
            _spread(one.dice, 3),
            "" if one.dice_median is None else f"{one.dice_median:.3f}",
            _spread(one.hd95_mm, 1),
            _spread(one.msd_mm, 2),
            _spread(one.volume_error_percent, 1),
        )
        for one in summaries
    ]


def brief_rows(summaries: list[Summary]) -> list[tuple]:
    """Cells of BRIEF_COLUMNS: what a terminal of 80 columns has room for."""
    return [(cells[0], cells[1], cells[3], *cells[5:]) for cells in summary_rows(summaries)]


def patient_rows(rows: list[Row]) -> list[tuple]:
    """Cells of ROW_COLUMNS."""
    cells = []
    for row in rows:
        one = row.agreement
        figures = [""] * 6
        if one:
            figures = [f"{one.dice:.3f}", _short(one.hd95_mm, 1), _short(one.msd_mm, 2), f"{one.reference_ml:.1f}"]
            figures += [f"{one.volume_error_ml:+.1f}", f"{one.volume_error_percent:+.0f}"]
        cells.append((row.patient, row.organ, *figures, f"{row.status}: {row.note}" if row.note else row.status))
    return cells


def remarks(rows: list[Row]) -> list[str]:
    """What the table of means does not show: failures, missed organs and how many were left out."""
    said = [f"{row.patient} failed: {row.note}" for row in rows if row.status == FAILED]
    said += [f"{row.organ} of {row.patient} was missed." for row in rows if row.status == MISSED]
    for status, words in ((NOT_COUNTED, "not counted by index.json"), (NO_REFERENCE, "without a reference")):
        number = sum(row.status == status for row in rows)
        if number:
            said.append(f"{number} organ{'s' * (number > 1)} {words} (see {CSV}).")
    return said


def write_text(rows: list[Row], dataset: Dataset, how: str, path: Path, picture: bool) -> None:
    """evaluation.md: means, remarks, definitions, every comparison."""
    compared = sum(row.status in (COMPARED, MISSED) for row in rows)
    parts = [
        "# Evaluation",
        f"{len(dataset.patients)} patients, {compared} comparisons. {how}",
        "Research software: the figures say how far contours agree with this data set's, not that they may be used unreviewed.",
        _markdown(SUMMARY_COLUMNS, summary_rows(summarise(rows))),
        *([f"![Box plots of Dice and HD95]({PICTURE})"] if picture else []),
        *(["## Remarks", "\n".join(f"- {text}" for text in dataset.warnings + remarks(rows))] if dataset.warnings + remarks(rows) else []),
        "## Definitions",
        DEFINITIONS,
        "## Every patient",
        _markdown(ROW_COLUMNS, patient_rows(rows)),
    ]
    _write(path, "\n\n".join(parts) + "\n")


def draw_box_plot(rows: list[Row], path: Path) -> bool:
    """Dice and HD95 by organ, a box from quartile to quartile and a dot a patient. False without matplotlib or comparisons."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    organs = [one.organ for one in summarise(rows) if one.patients]
    if not organs:
        return False
    figure = Figure(figsize=(2.5 + 1.1 * len(organs) * 2, 5), layout="constrained")
    for axes, key, label in zip(figure.subplots(1, 2), ("dice", "hd95_mm"), ("Dice", "HD95 (mm)"), strict=True):
        values = [
            [getattr(row.agreement, key) for row in rows if row.organ == organ and row.agreement and getattr(row.agreement, key) is not None]
            for organ in organs
        ]
        axes.boxplot(values, showfliers=False, widths=0.5, medianprops={"color": "black"})
        for place, column in enumerate(values, start=1):
            spread = [place + 0.12 * (number % 5 - 2) / 2 for number in range(len(column))]
            axes.plot(spread, column, ".", color="#0072B2", alpha=0.6, markersize=5)
        names = [f"{organ}\nn = {len(column)}" for organ, column in zip(organs, values, strict=True)]
        axes.set_xticks(range(1, len(organs) + 1), names, rotation=30, ha="right")
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0, top=1 if key == "dice" else None)
        axes.grid(axis="y", alpha=0.3)
    partial = path.with_name(path.name + ".part")
    figure.savefig(partial, format="png", dpi=120)
    os.replace(partial, path)
    return True


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".part")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def _markdown(columns: tuple[str, ...], rows: list[tuple]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "| " + " | ".join("---" for _ in columns) + " |"]
    lines += ["| " + " | ".join(str(cell).replace("|", "/").replace("\n", " ") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _short(value: float | None, digits: int) -> str:
    return "infinite" if value is None else f"{value:.{digits}f}"


def _spread(mean_and_deviation: tuple[float, float | None] | None, digits: int) -> str:
    if mean_and_deviation is None:
        return ""
    mean, deviation = mean_and_deviation
    return f"{mean:.{digits}f}" + ("" if deviation is None else f" ± {deviation:.{digits}f}")
