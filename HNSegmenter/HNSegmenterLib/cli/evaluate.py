"""hn-segmenter evaluate: how well the contours agree with the references of a data set."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from pathlib import Path

from ..evaluation.segmenter import PREDICTIONS, VARIED, Progress, Segmenter
from .segment import add_runtime_options, choose_runtime

FAULT = 1
VARIATIONS = (
    "again", "void-filled", "half-blanked", "planning-ct", "rotated", "noise", "hu+30", "hu-30", "cut",
    "mirrored", "reoriented",
)  # fmt: skip
ALL = "all"


def add_parser(sub) -> None:
    parser = sub.add_parser(
        "evaluate",
        help="compare with the reference contours of a data set",
        description="Segments every <patient>/data.nii.gz of DATASET (or takes --predictions), compares with "
        "<patient>/label.nii.gz, and writes evaluation.csv, evaluation.md and a box plot, evaluation.png, into REPORT.",
    )
    parser.add_argument("dataset", type=Path, metavar="DATASET", help="folder of patients' folders")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("evaluation"), metavar="REPORT", help="default: ./evaluation"
    )
    parser.add_argument(
        "--labels",
        metavar="MAP",
        required=True,
        help='openkbp, openkbp-eyes, structseg, tcia, or a JSON file like {"1": "Brainstem"}',
    )
    parser.add_argument(
        "--predictions", type=Path, metavar="DIR", help="labelmaps DIR/<patient>/<TG-263 name>.nii.gz: run nothing"
    )
    parser.add_argument(
        "--organs", metavar="NAMES", help="TG-263 names, with commas (default: all that were predicted)"
    )
    parser.add_argument("--patients", metavar="NAMES", help="names of patients' folders, with commas (default: all)")
    parser.add_argument(
        "--index", type=Path, metavar="FILE", help="slices that don't count (default: DATASET's index.json)"
    )
    parser.add_argument(
        "--through",
        choices=("labelmaps", "rtstruct"),
        default="labelmaps",
        help=(
            "what is compared: the labelmaps, or, each CT given as a DICOM series, the "
            "contours of the RTSTRUCT (default: labelmaps)"
        ),
    )
    parser.add_argument(
        "--variation",
        action="append",
        default=[],
        choices=(*VARIATIONS, ALL),
        metavar="NAME",
        help=(
            f"segment each CT varied as well, and show what is lost: {', '.join(VARIATIONS)}, "
            f"or {ALL}; may be given several times"
        ),
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of what the variations draw (default: 0)")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier report in REPORT")
    add_runtime_options(parser)


def run(args, ui) -> int:
    from ..evaluation.dataset import Dataset, read_label_map
    from ..evaluation.evaluate import FAILED, organs_tried_by_any, stored_predictions
    from ..evaluation.summary import losses, summarise
    from ..evaluation.tables import (
        BRIEF_COLUMNS,
        BRIEF_LOSS_COLUMNS,
        brief_loss_rows,
        brief_rows,
        finding_counts,
        remarks,
    )
    from ..staging import move_in, staging

    labels = read_label_map(args.labels)
    organs: Collection[str] | None = _organs(args.organs, labels)
    variations = _variations(args)
    whole = Dataset.read(args.dataset, args.index, needs_ct=args.predictions is None)
    dataset = whole.only(args.patients.split(",")) if args.patients else whole
    _check_output(args.output, args.overwrite)
    if dataset.index:
        ui.say(f"Slices that don't count: {dataset.index}")
    for warning in dataset.warnings:
        ui.say(f"! {warning}")
    contours = args.through == "rtstruct"
    if args.predictions:
        runtime, how = None, "The contours were given (--predictions)."
        organs = organs or organs_tried_by_any(dataset, args.predictions)
    else:
        runtime = choose_runtime(args)
        how = runtime.describe() + (
            " Each CT was given as a DICOM series, and the RTSTRUCT's contours were compared." if contours else ""
        )
        ui.say(how)
    with staging(args.output, uuid.uuid4().hex, "report") as staged:
        progress = Progress(len(dataset.patients) * (1 + len(variations)), args, ui)
        segmenter = Segmenter(runtime, staged, contours, args.cancel, progress.within) if runtime else None
        predict = segmenter.as_it_is if segmenter else stored_predictions(args.predictions, contours)
        rows, findings = _try_all(dataset, whole, labels, predict, organs, variations, segmenter, progress, args)
        names = _write(rows, findings, dataset, how, staged)
        move_in(staged, args.output, _parts(staged, dataset.patients, variations))
    summaries, lost = summarise(rows), losses(rows)
    ui.table(BRIEF_COLUMNS, brief_rows(summaries), "Agreement with the references, mean ± standard deviation")
    if lost:
        ui.table(BRIEF_LOSS_COLUMNS, brief_loss_rows(lost), "Mean Dice on varied CTs, of what they still show")
    for text in [*map(str, findings), *remarks(rows)]:
        ui.say(f"! {text}")
    if len(names) < 3:
        ui.say("No box plot: nothing was compared, or matplotlib is missing: pip install 'hn-segmenter[evaluate]'")
    for name in names:
        ui.say(str((args.output / name).absolute()))
    ui.result(
        {
            "output": str(args.output.absolute()),
            "organs": [vars(one) for one in summaries],
            "variations": [vars(one) | {"loss": one.loss} for one in lost],
            "counts": finding_counts(findings),
            "findings": [vars(one) for one in findings],
            "remarks": remarks(rows),
        }
    )
    return FAULT if any(row.status == FAILED for row in rows) else 0


def _try_all(dataset, whole, labels, predict, organs, variations, segmenter, progress, args) -> tuple[list, list]:
    """Rows and findings of every patient, as it is and varied. whole: where tissue for a void may come from."""
    from ..evaluation.evaluate import try_patient
    from ..evaluation.vary import Donors, try_variation

    donors = Donors(whole, labels)
    rows, findings = [], []
    for patient in dataset.patients:
        progress.next(patient.name)
        trial, case = try_patient(patient, labels, predict, organs)
        trials = [trial]
        if case is not None:
            for name in variations:
                progress.next(f"{patient.name}, {name}")
                trials.append(
                    try_variation(name, case, segmenter.varied, donors, args.through == "rtstruct", args.seed)
                )
        rows += [row for trial in trials for row in trial.rows]
        findings += [finding for trial in trials for finding in trial.findings]
    return rows, findings


def _write(rows, findings, dataset, how: str, out: Path) -> list[str]:
    """Returns the files' names."""
    from ..evaluation.box_plot import draw_box_plot
    from ..evaluation.tables import CSV, PICTURE, TEXT, write_csv, write_text

    write_csv(rows, out / CSV)
    drawn = draw_box_plot(rows, out / PICTURE)
    write_text(rows, findings, dataset, how, out / TEXT, drawn)
    return [CSV, TEXT, *((PICTURE,) if drawn else ())]


def _parts(staged: Path, patients, variations=()) -> list[Path]:
    """All that a report may hold, relative; an earlier report's other patients stay."""
    from ..evaluation.tables import CSV, PICTURE, TEXT
    from ..pipeline import OUTPUTS

    folders = [Path(PREDICTIONS), *(Path(VARIED, name) for name in variations)]
    predicted = [
        folder / patient.name for folder in folders for patient in patients if (staged / folder / patient.name).is_dir()
    ]
    return [place / name for place in predicted for name in OUTPUTS] + [Path(CSV), Path(TEXT), Path(PICTURE)]


def _organs(choice: str | None, labels: dict[int, str]) -> list[str] | None:
    from ..errors import WrongUsage

    if choice is None:
        return None
    organs = [name.strip() for name in choice.split(",")]
    if unknown := [name for name in organs if name not in labels.values()]:
        raise WrongUsage(f"The label map has no {', '.join(unknown)}, only {', '.join(labels.values())}.")
    return organs


def _variations(args) -> list[str]:
    from ..errors import WrongUsage

    if args.variation and args.predictions:
        raise WrongUsage("A varied CT has to be segmented anew: leave --variation or --predictions out.")
    return list(VARIATIONS) if ALL in args.variation else list(dict.fromkeys(args.variation))


def _check_output(out: Path, overwrite: bool) -> None:
    from ..errors import WrongUsage
    from ..evaluation.tables import CSV, PICTURE, TEXT

    if out.exists() and not out.is_dir():
        raise WrongUsage(f"{out} is a file: give a folder for the report.")
    there = [name for name in (CSV, TEXT, PICTURE, PREDICTIONS, VARIED) if (out / name).exists()]
    if there and not overwrite:
        raise WrongUsage(
            f"{out} already holds {', '.join(there)}: give another folder, or --overwrite to replace them."
        )
