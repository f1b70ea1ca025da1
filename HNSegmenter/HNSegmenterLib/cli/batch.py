"""hn-segmenter batch: every planning CT below a folder."""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

from .segment import REVIEW, add_runtime_options, choose_runtime, read_names

FAULT = 1
LISTED = 20  # failures in the table on the screen; all stand in the lists


def add_parser(sub) -> None:
    parser = sub.add_parser(
        "batch",
        help="contour every planning CT below a folder",
        description=(
            "Contours every planning CT below ROOT, each into a folder of its own in OUT, and lists them in index.html "
            "and results.csv there. Start the same command again to go on with what is not done."
        ),
    )
    parser.add_argument("root", type=Path, metavar="ROOT", help="folder of patients' DICOM files, however nested")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder for the results")
    parser.add_argument("--jobs", type=_jobs, default=0, metavar="N", help="so many at a time (default: what fits)")
    parser.add_argument(
        "--series",
        action="append",
        default=[],
        metavar="PATTERN",
        help="regular expression: leave out series whose description does not match; may be given several times",
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="service.toml: its [rules], and the queue of its [worker]"
    )
    parser.add_argument("--redis", metavar="URL", help="queue in Redis, shared by the machines that share ROOT and OUT")
    parser.add_argument("--names", type=Path, metavar="FILE", help="table of the clinic's own structure names")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace results of another model, of other images or names"
    )
    add_runtime_options(parser)


def _jobs(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number from 1")
    return int(text)


def run(args, ui) -> int:
    from ..batch.one import DONE, FAILED, LEFT_OUT
    from ..batch.run import run as run_batch
    from ..errors import Cancelled

    runtime = choose_runtime(args)
    ui.say(runtime.describe())
    settings = _settings(args, runtime)
    options = argparse.Namespace(**{name: value for name, value in vars(args).items() if name != "cancel"})
    make_runtime = partial(choose_runtime, options)
    try:
        ended = run_batch(args.root, settings, make_runtime, emit=ui.emit, say=ui.say, cancel=args.cancel)
    except Cancelled as cancelled:
        raise Cancelled("Cancelled: what is done stays. The same command goes on with the rest.") from cancelled
    failed, left_out = ended.of(FAILED), ended.of(LEFT_OUT)
    if failed:
        rows = [(entry.folder, entry.series_uid, entry.reason) for entry in failed[:LISTED]]
        ui.table(("Failed", "Series Instance UID", "Why"), rows, whole=("Failed",))
    ui.say(
        f"{len(ended.of(DONE))} contoured, {len(failed)} failed, {len(left_out)} CT series left out as no planning CT."
    )
    ui.say(str((args.output / "index.html").absolute()))
    ui.say(REVIEW)
    ui.result(
        {
            "output": str(args.output.absolute()),
            "jobs": ended.jobs,
            "seconds": round(ended.seconds, 2),
            "done": [entry.folder for entry in ended.of(DONE)],
            "failed": [_told(entry) for entry in failed],
            "left_out": [_told(entry) for entry in left_out],
        }
    )
    return FAULT if failed else 0


def _told(entry) -> dict:
    return {"folder": entry.folder, "series_instance_uid": entry.series_uid, "reason": entry.reason}


def _settings(args, runtime):
    from ..batch.results import Made
    from ..batch.work import Settings
    from ..service.settings import ServiceSettings, load
    from ..service.settings_values import check
    from ..service.worker.segmenting import model_digest

    service = load(args.config) if args.config else ServiceSettings()
    rules, worker = service.rules, service.worker
    if args.series:
        rules = replace(rules, description_patterns=check("description_patterns", tuple(args.series), "--series"))
    if args.redis:
        worker = replace(worker, queue=check("queue", args.redis, "--redis"))
    names = read_names(args.names)
    digest = hashlib.sha256(json.dumps(dict(names.own_names), sort_keys=True).encode()).hexdigest() if names else ""
    made = Made(model_digest(runtime), digest)
    return Settings(args.output, made, worker, args.jobs, rules=rules, names=names, overwrite=args.overwrite)
