"""hn-segmenter queue: the jobs of the DICOM node, and another try for those that failed."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path


def add_parser(sub) -> None:
    parser = sub.add_parser(
        "queue",
        help="list the jobs of the DICOM node, retry failed ones",
        description="Every series that arrived at the node, with state, times, attempts and the reason of its state.",
    )
    parser.add_argument("action", choices=("list", "retry"), help="list the jobs; retry a failed or held one")
    parser.add_argument("job", nargs="*", metavar="JOB", help="for retry: ids as listed (their beginning is enough); without, all that failed")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="service.toml")
    parser.add_argument("--state", action="append", metavar="STATE", help="list only jobs in this state; may be repeated")


def run(args, ui) -> int:
    from ..errors import WrongUsage
    from ..service.settings import load
    from ..service.table import State

    states = {str(state) for state in State}
    if unknown := set(args.state or ()) - states:
        raise WrongUsage(f"There is no state {', '.join(sorted(unknown))}: choose from {', '.join(sorted(states))}.")
    settings = load(args.config)
    return _list(settings, args, ui) if args.action == "list" else _retry(settings, args, ui)


def _list(settings, args, ui) -> int:
    from ..service.table import Job, open_table

    table = open_table(settings.worker)
    try:
        jobs = table.rows(Job, args.state)
        deliveries = {job.id: table.deliveries(job.id) for job in jobs}
    finally:
        table.close()
    rows = [(job.id[:8], job.series_uid, job.state, _time(job.created), _time(job.updated), job.attempts, _told(job, deliveries[job.id])) for job in jobs]
    ui.table(("Job", "Series", "State", "Since", "Changed", "Attempts", "Reason"), rows)
    ui.result({"jobs": [{**asdict(job), "deliveries": [asdict(item) for item in deliveries[job.id]]} for job in jobs]})
    return 0


def _told(job, deliveries) -> str:
    return " ".join(filter(None, [job.reason, *(f"{item.destination} {item.state}: {item.reason or item.answer}" for item in deliveries)]))


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment).astimezone().strftime("%d %b %H:%M:%S")


def _retry(settings, args, ui) -> int:
    from ..service.context import Service
    from ..service.retrying import retry

    service = Service.open(settings)
    try:
        retried = retry(service, args.job)
    finally:
        service.close()
    ui.say(f"{len(retried)} {'job is' if len(retried) == 1 else 'jobs are'} tried again by the next worker that is free.")
    ui.result({"retried": retried})
    return 0
