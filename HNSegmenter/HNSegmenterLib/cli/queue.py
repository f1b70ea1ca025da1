"""hn-segmenter queue: the jobs of the DICOM node, and another try for those that failed."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path


def add_parser(sub) -> None:
    parser = sub.add_parser(
        "queue",
        help="list the jobs of the DICOM node, retry failed ones",
        description="Every series that arrived at the node, with state, times, attempts and the reason of its state.",
    )
    parser.add_argument("action", choices=("list", "retry"), help="list the jobs; retry a failed or held one")
    parser.add_argument(
        "job",
        nargs="*",
        metavar="JOB",
        help="for retry: ids of jobs or series as listed (their beginning is enough); without, all that failed",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="service.toml")
    parser.add_argument(
        "--state", action="append", metavar="STATE", help="list only jobs in this state; may be repeated"
    )
    parser.add_argument("--long", action="store_true", help="list all that is known of each job, several lines a job")


def run(args, ui) -> int:
    from ..errors import WrongUsage
    from ..service.settings import load
    from ..service.table.interface import State

    states = {str(state) for state in State}
    if unknown := set(args.state or ()) - states:
        raise WrongUsage(f"There is no state {', '.join(sorted(unknown))}: choose from {', '.join(sorted(states))}.")
    settings = load(args.config)
    return _list(settings, args, ui) if args.action == "list" else _retry(settings, args, ui)


def _list(settings, args, ui) -> int:
    from ..service.ids import shortened
    from ..service.table.interface import Job
    from ..service.table.opening import open_table

    table = open_table(settings.worker)
    try:
        known = table.rows(Job)
        jobs = [job for job in known if not args.state or job.state in args.state]
        deliveries = {job.id: table.deliveries(job.id) for job in jobs}
    finally:
        table.close()
    ids, series = shortened([job.id for job in known]), shortened([job.node_id for job in known])
    told = {job.id: _told(job, deliveries[job.id]) for job in jobs}
    if args.long:
        for job in jobs:
            ui.say(_whole(job, told[job.id]))
    else:
        columns = ("Job", "Series", "State", "Changed", "Tries", "Reason")
        rows = [
            (ids[job.id], series[job.node_id], job.state, _time(job.updated), str(job.attempts), told[job.id])
            for job in jobs
        ]
        if ui.lines(columns, rows, whole=5):
            ui.say("Whole reasons, times and UIDs: --long")
    ui.result({"jobs": [{**asdict(job), "deliveries": [asdict(item) for item in deliveries[job.id]]} for job in jobs]})
    return 0


def _told(job, deliveries) -> str:
    return " ".join(
        filter(
            None,
            [job.reason, *(f"{item.destination} {item.state}: {item.reason or item.answer}" for item in deliveries)],
        )
    )


def _whole(job, told: str) -> str:
    lines = {
        "Job": job.id,
        "Series": f"{job.node_id} ({job.series_uid})",
        "State": f"{job.state}, {job.attempts} {'try' if job.attempts == 1 else 'tries'}",
        "Since": f"{_time(job.created)}, changed {_time(job.updated)}",
        "Models": _models(job),
        "Reason": told,
    }
    return "\n".join([*(f"{name:<8}{text}" for name, text in lines.items() if text), ""])


def _models(job) -> str:
    """Those that drew; before that, the digest that the choice of them has."""
    models = job.summary.get("models") or []
    keys = ("name", "version", "digest")
    return "; ".join(" ".join(filter(None, map(model.get, keys))) for model in models) or job.model


def _time(seconds: float) -> str:
    from .ui import moment

    return moment(datetime.fromtimestamp(seconds, UTC))


def _retry(settings, args, ui) -> int:
    from ..service.worker.context import Service
    from ..service.worker.retrying import retry

    service = Service.open(settings)
    try:
        retried = retry(service, args.job)
    finally:
        service.close()
    ui.say(
        f"{len(retried)} {'job is' if len(retried) == 1 else 'jobs are'} tried again by the next worker that is free."
    )
    ui.result({"retried": retried})
    return 0
