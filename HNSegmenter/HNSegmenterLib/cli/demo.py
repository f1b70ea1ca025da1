"""hn-segmenter demo: the main job on the bundled sample patient."""

from __future__ import annotations

import tempfile
from pathlib import Path

from .segment import add_runtime_options, choose_runtime, show


def add_parser(sub) -> None:
    parser = sub.add_parser(
        "demo",
        help="segment the bundled sample patient",
        description=(
            "Writes the sample patient as a DICOM series, segments it, and compares the result with its known organs."
        ),
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("out/demo"), metavar="OUT", help="default: out/demo")
    add_runtime_options(parser)


def run(args, ui) -> int:
    from ..events import Event
    from ..pipeline import segment
    from ..result import NOT_FOUND
    from ..sample import write_dicom
    from ..sample.score import score

    runtime = choose_runtime(args)
    ui.say(runtime.describe())
    with tempfile.TemporaryDirectory(prefix="hn-segmenter-") as folder:
        ui.emit(Event("progress", "writing the sample", None))
        series = write_dicom(Path(folder) / "sample")
        outcome = segment(series, args.output, runtime, overwrite=True, emit=ui.emit, cancel=args.cancel)
    missed = {organ.name: 0.0 for organ in outcome.result.organs if organ.status == NOT_FOUND}
    scores = score(outcome.labelmaps) | missed
    ui.table(("Organ", "Dice"), [(name, round(dice, 3)) for name, dice in scores.items()])
    ui.say("The sample patient is made up. These figures prove that the installation works, and nothing else.")
    show(outcome, ui)
    return 0
