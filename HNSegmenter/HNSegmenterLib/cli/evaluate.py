"""hn-segmenter evaluate: how well the contours agree with the references of a data set."""

from __future__ import annotations

import uuid
from pathlib import Path

from .segment import add_runtime_options, choose_runtime

PREDICTIONS = "predictions"
FAULT = 1


def add_parser(sub) -> None:
    parser = sub.add_parser(
        "evaluate",
        help="compare with the reference contours of a data set",
        description="Segments every <patient>/data.nii.gz of DATASET (or takes --predictions), compares with "
        "<patient>/label.nii.gz, and writes evaluation.csv, evaluation.md and a box plot, evaluation.png, into REPORT.",
    )
    parser.add_argument("dataset", type=Path, metavar="DATASET", help="folder of patients' folders")
    parser.add_argument("-o", "--output", type=Path, default=Path("evaluation"), metavar="REPORT", help="default: ./evaluation")
    parser.add_argument(
        "--labels", metavar="MAP", required=True, help='openkbp, structseg, tcia, or a JSON file like {"1": "Brainstem"}'
    )
    parser.add_argument("--predictions", type=Path, metavar="DIR", help="labelmaps DIR/<patient>/<TG-263 name>.nii.gz: run nothing")
    parser.add_argument("--organs", metavar="NAMES", help="TG-263 names, with commas (default: all that were predicted)")
    parser.add_argument("--index", type=Path, metavar="FILE", help="slices that don't count (default: DATASET's index.json)")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier report in REPORT")
    add_runtime_options(parser)


def run(args, ui) -> int:
    from ..report.dataset import Dataset, read_label_map
    from ..report.evaluate import FAILED, evaluate, organs_tried_by_any, stored_predictions, summarise
    from ..report.tables import BRIEF_COLUMNS, brief_rows, remarks
    from ..staging import move_in, staging

    labels = read_label_map(args.labels)
    organs = _organs(args.organs, labels)
    dataset = Dataset.read(args.dataset, args.index, needs_ct=args.predictions is None)
    _check_output(args.output, args.overwrite)
    if dataset.index:
        ui.say(f"Slices that don't count: {dataset.index}")
    for warning in dataset.warnings:
        ui.say(f"! {warning}")
    if args.predictions:
        runtime, how = None, "The contours were given (--predictions)."
        organs = organs or organs_tried_by_any(dataset, args.predictions)
    else:
        runtime = choose_runtime(args)
        how = runtime.describe()
        ui.say(how)
    with staging(args.output, uuid.uuid4().hex, "report") as staged:
        predict = _Segmenter(runtime, staged / PREDICTIONS, args, ui) if runtime else stored_predictions(args.predictions)
        rows = list(evaluate(dataset, labels, _Counted(predict, len(dataset.patients), args, ui), organs))
        names = _write(rows, dataset, how, staged)
        move_in(staged, args.output, _parts(staged, dataset.patients))
    summaries = summarise(rows)
    ui.table(BRIEF_COLUMNS, brief_rows(summaries), "Agreement with the references, mean ± standard deviation")
    for text in remarks(rows):
        ui.say(f"! {text}")
    if len(names) < 3:
        ui.say("No box plot: nothing was compared, or matplotlib is missing: pip install 'hn-segmenter[evaluate]'")
    for name in names:
        ui.say(str((args.output / name).absolute()))
    ui.result({"output": str(args.output.absolute()), "organs": [vars(one) for one in summaries], "remarks": remarks(rows)})
    return FAULT if any(row.status == FAILED for row in rows) else 0


def _write(rows, dataset, how: str, out: Path) -> list[str]:
    """Returns the files' names."""
    from ..report.tables import CSV, PICTURE, TEXT, draw_box_plot, write_csv, write_text

    write_csv(rows, out / CSV)
    drawn = draw_box_plot(rows, out / PICTURE)
    write_text(rows, dataset, how, out / TEXT, drawn)
    return [CSV, TEXT, *((PICTURE,) if drawn else ())]


def _parts(staged: Path, patients) -> list[Path]:
    """All that a report may hold, relative; an earlier report's other patients stay."""
    from ..pipeline import OUTPUTS
    from ..report.tables import CSV, PICTURE, TEXT

    predicted = [Path(PREDICTIONS, patient.name) for patient in patients if (staged / PREDICTIONS / patient.name).is_dir()]
    return [place / name for place in predicted for name in OUTPUTS] + [Path(CSV), Path(TEXT), Path(PICTURE)]


def _organs(choice: str | None, labels: dict[int, str]) -> list[str] | None:
    from ..errors import WrongUsage

    if choice is None:
        return None
    organs = [name.strip() for name in choice.split(",")]
    if unknown := [name for name in organs if name not in labels.values()]:
        raise WrongUsage(f"The label map has no {', '.join(unknown)}, only {', '.join(labels.values())}.")
    return organs


def _check_output(out: Path, overwrite: bool) -> None:
    from ..errors import WrongUsage
    from ..report.tables import CSV, PICTURE, TEXT

    if out.exists() and not out.is_dir():
        raise WrongUsage(f"{out} is a file: give a folder for the report.")
    there = [name for name in (CSV, TEXT, PICTURE, PREDICTIONS) if (out / name).exists()]
    if there and not overwrite:
        raise WrongUsage(f"{out} already holds {', '.join(there)}: give another folder, or --overwrite to replace them.")


class _Segmenter:
    """Runs the pipeline for one patient after the other, into folder/<patient>."""

    def __init__(self, runtime, folder: Path, args, ui):
        self._runtime, self._folder, self._args = runtime, folder, args
        self.emit = ui.emit

    def __call__(self, patient) -> Path:
        from ..pipeline import segment

        out = self._folder / patient.name
        segment(patient.ct, out, self._runtime, emit=self.emit, cancel=self._args.cancel)
        return out


class _Counted:
    """Says which patient is on, and turns a job's own progress into that of the whole evaluation."""

    def __init__(self, predict, total: int, args, ui):
        self._predict, self._total, self._args, self._ui, self._done = predict, total, args, ui, 0
        if isinstance(predict, _Segmenter):
            predict.emit = self._within

    def __call__(self, patient) -> Path:
        from ..events import Event

        self._args.cancel.raise_if_cancelled()
        self._ui.emit(Event("progress", patient.name, self._done / self._total, f"({self._done + 1} of {self._total})"))
        self._done += 1
        return self._predict(patient)

    def _within(self, event) -> None:
        from dataclasses import replace

        if event.kind == "progress" and event.fraction is not None:
            self._ui.emit(replace(event, fraction=(self._done - 1 + event.fraction) / self._total))
        elif event.kind == "warning":
            self._ui.emit(event)
