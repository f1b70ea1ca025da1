"""Another try, asked for by the physicist, for jobs that failed or were held and for deliveries that failed."""

from __future__ import annotations

from ...errors import WrongUsage
from .. import ids
from ..table.interface import REVIEWED, Job, Sending, State
from .context import Service


def retry(service: Service, named: list[str]) -> list[str]:
    """Put jobs back, those whose id or whose series' id begins with one of `named`, else all that failed;
    returns their ids.

    A failed delivery is sent again, with the same UID; a series is judged by the rules of now and segmented again.
    Raises WrongUsage for a name that fits none or several jobs, or one with nothing to try again.
    """
    if not named:
        return [job.id for job in service.table.rows(Job) if job.state != State.HELD and _again(service, job)]
    jobs = [_find(service, name) for name in named]
    for job in jobs:
        if not _again(service, job):
            raise WrongUsage(
                f"Job {job.id[: ids.SHOWN]} is {job.state} and nothing of it failed: only "
                "failed and held jobs can be tried again."
            )
    return [job.id for job in jobs]


def _find(service: Service, name: str) -> Job:
    jobs = service.table.rows(Job)
    found = ids.meant(name, [job.id for job in jobs]) or [
        job.id for job in jobs if job.node_id.startswith(name) or job.series_uid == name
    ]
    if not found:
        raise WrongUsage(f"No job or series has an id that begins with {name}: see  hn-segmenter queue list")
    if len(found) > 1:
        raise WrongUsage(
            f"{len(found)} jobs have an id, or a series, that begins with {name}: choose one of {ids.listed(found)}."
        )
    return next(job for job in jobs if job.id == found[0])


def _again(service: Service, job: Job) -> bool:
    rows = service.table.deliveries(job.id)
    failed = [row for row in rows if row.state == Sending.FAILED]
    if (job.state == State.FAILED and not any(row.kind == REVIEWED for row in rows)) or job.state == State.HELD:
        return service.move(job, State.QUEUED, attempts=0, next_try_at=0.0)
    if not failed or job.state not in (State.FAILED, State.WAITING, State.SENDING):
        return False
    if job.state == State.FAILED and not service.move(job, State.SENDING, reason=""):
        return False
    return all(service.move(row, Sending.PENDING, attempts=0, next_try_at=0.0, reason="") for row in failed)
