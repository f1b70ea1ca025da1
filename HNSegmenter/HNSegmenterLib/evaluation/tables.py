"""The evaluation's tables: evaluation.csv, evaluation.md and those for the screen."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path

from .dataset import ENOUGH_CONTEXT, Dataset
from .evaluate import COMPARED, FAILED, LEAST_IN_VIEW, MISSED, NO_REFERENCE, NOT_COUNTED, Row
from .findings import FAR_MM, FAULTS, Finding
from .summary import Loss, Spread, Summary, losses, summarise

CSV, TEXT, PICTURE = "evaluation.csv", "evaluation.md", "evaluation.png"
AGREEMENT = ("dice", "hd95_mm", "msd_mm", "reference_ml", "predicted_ml", "volume_error_ml", "volume_error_percent")
COLUMNS = (
    "patient",
    "variation",
    "organ",
    "status",
    *AGREEMENT,
    "slices",
    "top_mm",
    "bottom_mm",
    "centre_mm",
    "unchanged_dice",
    "note",
)
SUMMARY_COLUMNS = (
    "Organ",
    "Patients",
    "Missed",
    "Dice",
    "Dice median",
    "HD95 (mm)",
    "HD95 median (mm)",
    "MSD (mm)",
    "Volume error (%)",
)
BRIEF_COLUMNS = ("Organ", "n", "Dice", "HD95 (mm)", "MSD (mm)", "Volume (%)")
LOSS_COLUMNS = ("Variation", "Organ", "n", "Missed", "Dice unchanged", "Dice varied", "Loss", "Worst loss")
BRIEF_LOSS_COLUMNS = ("Variation", "Organ", "n", "Unchanged", "Varied", "Loss")
ROW_COLUMNS = (
    "Patient",
    "Organ",
    "Dice",
    "HD95 (mm)",
    "MSD (mm)",
    "Reference (ml)",
    "Volume error (ml)",
    "Volume error (%)",
    "Status",
)
PLACE_COLUMNS = ("Patient", "Organ", "Upper end (mm)", "Lower end (mm)", "Centre (mm)")
DEFINITIONS = f"""Dice, distances and volumes are of the slices that count; the spinal cord counts only between the first and
last slice of its reference; with an index.json only organs with sound surroundings on {ENOUGH_CONTEXT:.0%} of their slices count, on
those. HD95 is the larger of the two directed 95th percentiles of the distances between surface voxels, MSD the mean of the
two directed means. A missed organ (nothing predicted) has Dice 0 and infinite distances: it is in the mean of Dice and the
medians, and not in the means of the distances. Mean and standard deviation over patients; the volume error is predicted minus
reference. Ends of the cord: predicted minus reference, positive towards the head, where the reference ends within sound slices.
Centre: distance of an eye's middle from its reference's; beyond {FAR_MM:g} mm it is listed. Varied CTs: what was found there is
brought back onto the CT's own grid and compared where the varied CT still shows the organ (at least {LEAST_IN_VIEW:.0%} of it), and so
is what was found on the CT as it is; the loss is the difference of the two means."""  # noqa: E501 - written into the report as it stands


def write_csv(rows: list[Row], path: Path) -> None:
    """One line a patient, variation and organ, also of those not compared; empty cells where there is no figure."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        figures = [_figure(getattr(row.agreement, column)) if row.agreement else "" for column in AGREEMENT]
        places = [
            _figure(value) for value in (*_ends(row), row.centre_mm, row.unchanged.dice if row.unchanged else None)
        ]
        writer.writerow(
            [row.patient, row.variation, row.organ, row.status, *figures, row.slices or "", *places, row.note]
        )
    write_beside(path, text.getvalue())


def summary_rows(summaries: list[Summary]) -> list[tuple]:
    """Cells of SUMMARY_COLUMNS."""
    return [
        (
            one.organ,
            one.patients,
            one.missed,
            _spread(one.dice, 3),
            _number(one.dice_median, ".3f"),
            _spread(one.hd95_mm, 1),
            _number(one.hd95_median_mm, ".1f", "infinite" if one.missed else ""),
            _spread(one.msd_mm, 2),
            _spread(one.volume_error_percent, 1),
        )
        for one in summaries
    ]


def brief_rows(summaries: list[Summary]) -> list[tuple]:
    """Cells of BRIEF_COLUMNS: what a terminal of 80 columns has room for."""
    return [(cells[0], cells[1], cells[3], cells[5], *cells[7:]) for cells in summary_rows(summaries)]


def loss_rows(found: list[Loss]) -> list[tuple]:
    """Cells of LOSS_COLUMNS."""
    return [
        (
            one.variation,
            one.organ,
            one.patients,
            one.missed,
            f"{one.unchanged:.3f}",
            f"{one.varied:.3f}",
            f"{one.loss:+.3f}",
            f"{one.worst[1]:+.3f} {one.worst[0]}",
        )
        for one in found
    ]


def brief_loss_rows(found: list[Loss]) -> list[tuple]:
    """Cells of BRIEF_LOSS_COLUMNS."""
    return [(*cells[:3], *cells[4:7]) for cells in loss_rows(found)]


def patient_rows(rows: list[Row]) -> list[tuple]:
    """Cells of ROW_COLUMNS."""
    cells = []
    for row in rows:
        one = row.agreement
        figures = [""] * 6
        if one:
            figures = [
                f"{one.dice:.3f}",
                _number(one.hd95_mm, ".1f", "infinite"),
                _number(one.msd_mm, ".2f", "infinite"),
            ]
            figures += [f"{one.reference_ml:.1f}", f"{one.volume_error_ml:+.1f}", f"{one.volume_error_percent:+.0f}"]
        cells.append((row.patient, row.organ, *figures, f"{row.status}: {row.note}" if row.note else row.status))
    return cells


def place_rows(rows: list[Row]) -> list[tuple]:
    """Cells of PLACE_COLUMNS: the cords' ends and the eyes' centres, and below each organ's their medians."""
    cells = []
    for one in summarise(rows):
        own = [
            row
            for row in rows
            if not row.variation and row.organ == one.organ and (row.ends or row.centre_mm is not None)
        ]
        cells += [(row.patient, row.organ, *_place_figures((*_ends(row), row.centre_mm))) for row in own]
        if own:
            cells.append(("**median**", one.organ, *_place_figures((one.top_mm, one.bottom_mm, one.centre_mm))))
    return cells


def remarks(rows: list[Row]) -> list[str]:
    """What the table of means does not show: failures, missed organs and how many were left out."""
    said = [f"{_whose(row)} failed: {row.note}" for row in rows if row.status == FAILED]
    said += [f"{row.organ} of {_whose(row)} was missed." for row in rows if row.status == MISSED]
    for status, words in ((NOT_COUNTED, "not counted by index.json"), (NO_REFERENCE, "without a reference")):
        number = sum(row.status == status and not row.variation for row in rows)
        if number:
            said.append(f"{number} organ{'s' * (number > 1)} {words} (see {CSV}).")
    return said


def finding_counts(findings: list[Finding]) -> dict[str, int]:
    """Kind -> number; the faults are in even where there are none."""
    return dict.fromkeys(FAULTS, 0) | dict(Counter(one.kind for one in findings))


def write_text(rows: list[Row], findings: list[Finding], dataset: Dataset, how: str, path: Path, picture: bool) -> None:
    """evaluation.md: means, losses, what was found, remarks, definitions, every comparison on the CTs as they are."""
    plain = [row for row in rows if not row.variation]
    compared = sum(row.status in (COMPARED, MISSED) for row in plain)
    parts = [
        "# Evaluation",
        f"{len(dataset.patients)} patients, {compared} comparisons. {how}",
        (
            "Research software: the figures say how far contours agree with this data "
            "set's, not that they may be used unreviewed."
        ),
        _markdown(SUMMARY_COLUMNS, summary_rows(summarise(rows))),
    ]
    if picture:
        parts.append(f"![Box plots of Dice and HD95]({PICTURE})")
    if lost := losses(rows):
        parts += ["## Varied CTs", _markdown(LOSS_COLUMNS, loss_rows(lost))]
    parts += ["## What must not happen", _markdown(("What", "Times"), list(finding_counts(findings).items()))]
    parts += [_list([str(one) for one in findings])] if findings else []
    if said := dataset.warnings + remarks(rows):
        parts += ["## Remarks", _list(said)]
    parts += ["## Definitions", DEFINITIONS]
    if places := place_rows(rows):
        parts += ["## Ends and centres", _markdown(PLACE_COLUMNS, places)]
    parts += ["## Every patient", _markdown(ROW_COLUMNS, patient_rows(plain))]
    write_beside(path, "\n\n".join(parts) + "\n")


def write_beside(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _whose(row: Row) -> str:
    return f"{row.patient}, {row.variation}," if row.variation else row.patient


def _ends(row: Row) -> tuple[float | None, float | None]:
    return (row.ends.top_mm, row.ends.bottom_mm) if row.ends else (None, None)


def _place_figures(values: tuple[float | None, float | None, float | None]) -> list[str]:
    return [_number(value, kind) for value, kind in zip(values, ("+.1f", "+.1f", ".1f"), strict=True)]


def _list(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _markdown(columns: tuple[str, ...], rows: list[tuple]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "| " + " | ".join("---" for _ in columns) + " |"]
    lines += ["| " + " | ".join(str(cell).replace("|", "/").replace("\n", " ") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    return _number(value, ".4f")


def _number(value: float | None, kind: str, none: str = "") -> str:
    return none if value is None else f"{value:{kind}}"


def _spread(mean_and_deviation: Spread | None, digits: int) -> str:
    if mean_and_deviation is None:
        return ""
    mean, deviation = mean_and_deviation
    return f"{mean:.{digits}f}" + ("" if deviation is None else f" ± {deviation:.{digits}f}")
