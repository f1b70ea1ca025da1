"""Deliveries of a job: made by a review or by an automatic destination, done one by one,
and what they mean for the job."""

from __future__ import annotations

import time

from pydicom.uid import generate_uid

from ...errors import HNSegmenterError, UnusableInput
from ..inbox import review, review_record
from ..node.client import NotThere
from ..peers.connections import DeliveryFault
from ..table.interface import AUTOMATIC, REVIEWED, Delivery, Job, Sending, State
from . import delivery
from .context import LOG, Service

NOWHERE = "Approved, but no destination in service.toml gets reviewed sets: add one, then  hn-segmenter queue retry."


def take_review(service: Service, job: Job) -> None:
    """Follow the reviewer's decision on a waiting job, if there is one. Raises NodeFault, TableFault."""
    decision = review.read(service.node, job.node_id, job.id)
    if decision is None:
        return
    if decision.decision == "reject":
        service.move(job, State.REJECTED, reason=decision.reason, reviewer=decision.reviewer)
        return
    names = decision.destinations or reviewed_destinations(service)
    summary = _with_corrections(service, job)
    if not names:
        service.move(job, State.FAILED, reviewer=decision.reviewer, reason=NOWHERE, summary=summary)
        return
    for name in names:
        row = Delivery(job.id, name, REVIEWED, decision.sop_instance_uid, decision.reviewer, decision.time)
        if service.table.add(row):
            service.note("added", row, reviewer=row.reviewer)
    service.move(job, State.SENDING, reviewer=decision.reviewer, reason="", summary=summary)


def _with_corrections(service: Service, job: Job) -> dict:
    """The job's summary with how much its review corrected: the table keeps it when the patient is deleted."""
    corrected = review_record.corrections(service.node, job.node_id, job.id)
    return job.summary | {"corrections": corrected} if corrected else job.summary


def reviewed_destinations(service: Service) -> list[str]:
    return [item.name for item in service.settings.destinations.values() if not item.automatic]


def add_automatic(service: Service, job: Job) -> None:
    """A delivery to every automatic destination that has none yet; the job goes on waiting for its review."""
    there = {row.destination for row in service.table.deliveries(job.id) if row.kind == AUTOMATIC}
    for item in service.settings.destinations.values():
        if item.automatic and item.name not in there:
            row = Delivery(job.id, item.name, AUTOMATIC, generate_uid(None))
            if service.table.add(row):
                service.note("added", row)


def deliver(service: Service, key: str) -> None:
    """Do one pending delivery, if no other worker has it; whatever happens, the table knows it afterwards."""
    row = service.table.get(Delivery, key)
    if row is None or row.state != Sending.PENDING or row.next_try_at > time.time():
        return
    row = service.claim(row)
    if row is None:
        return
    job = service.job(row.job)
    try:
        with service.lease(row):
            _send(service, job, row)
    except DeliveryFault as fault:
        if fault.final:
            service.end(row, Sending.FAILED, reason=fault.sentence)
        else:
            service.again(row, fault.sentence, limited=False)
    except (NotThere, UnusableInput):
        service.end(row, Sending.FAILED, reason="The series or its results were deleted from the node.")
    except HNSegmenterError as fault:
        service.again(row, fault.sentence, limited=False)
    except Exception as fault:  # noqa: BLE001 - a bug: what it says may quote the patient
        LOG.error("job %s: an unforeseen fault (%s) while sending", row.job, type(fault).__name__)
        service.again(row, f"An unforeseen fault ({type(fault).__name__}).", limited=True)
    settle(service, row.job)


def _send(service: Service, job: Job, row: Delivery) -> None:
    if job.state not in (State.WAITING, State.SENDING):
        service.end(row, Sending.FAILED, reason=f"Not sent: the job is {job.state}.")
    elif row.destination not in service.settings.destinations:
        service.end(row, Sending.FAILED, reason=f"There is no destination {row.destination} in service.toml.")
    else:
        answer = delivery.send(service.node, service.settings, job, row)
        service.end(row, Sending.SENT, answer=answer, reason="")


def settle(service: Service, job_id: str) -> None:
    """End a job whose reviewed deliveries have all ended."""
    job = service.table.get(Job, job_id)
    if job is None or job.state != State.SENDING:
        return
    rows = [row for row in service.table.deliveries(job_id) if row.kind == REVIEWED]
    if any(row.state in (Sending.PENDING, Sending.SENDING) for row in rows):
        return
    failed = [row for row in rows if row.state == Sending.FAILED]
    if failed:
        service.move(job, State.FAILED, reason=" ".join(f"{row.destination}: {row.reason}" for row in failed))
    else:
        service.move(job, State.SENT, reason="")
