"""The loop that keeps table and node together: new, grown and reviewed series, work that was lost, work that is due."""

from __future__ import annotations

import time
from collections.abc import Callable

from ...errors import HNSegmenterError
from ..node.client import RESULTS, NotThere
from ..table.interface import Delivery, Job, Row, Sending, State, digest_of, due, expired, job_id
from .context import DELETED, LOG, Service
from .rules import judge
from .sending import add_automatic, settle, take_review
from .tasks import Queues

SWEEP_S = 600.0  # between two looks at all series; the node's log of changes tells what happens in between
# Between two looks at series not seen yet: a node that is started anew never tells that a series of before is stable.
NEWCOMERS_S = 5.0
DECIDED = (State.SENDING, State.SENT, State.REJECTED)  # a clinician has decided: a newer model does not do these again


class Watch:
    """Any number of workers may watch one node and table: each step is a compare and swap, or does nothing twice."""

    def __init__(self, service: Service, queues: Queues):
        self._service = service
        self._queues = queues
        self._seen: dict[str, int] = {}  # per series, of the instances that were looked at
        self._cursor = 0
        self._swept_at: float | None = None
        self._newcomers_at = 0.0
        self._faults: dict[str, str] = {}

    def run(self) -> None:
        """Look round every poll_s seconds until the service stops."""
        stopping = self._service.stopping
        while not stopping.cancelled:
            self.look()
            stopping.wait(self._service.settings.worker.poll_s)

    def look(self) -> None:
        """One look round. A step that fails is told once, and done again in the next look."""
        self._step("node", self._follow_node)
        self._step("reviews", self._follow_reviews)
        self._step("leases", self._put_back)
        self._step("queue", self._hand_out)
        self._step("publishing", self._publish)

    def _step(self, name: str, step: Callable[[], None]) -> None:
        try:
            step()
        except HNSegmenterError as fault:
            sentence = fault.sentence
        except Exception as fault:  # noqa: BLE001 - whatever it is, the loop goes on; what it says may quote the patient
            sentence = f"An unforeseen fault ({type(fault).__name__})."
        else:
            sentence = ""
        if sentence and name == "node":
            self._swept_at = None  # the node may have been started anew and forgotten what it had to tell
        if sentence != self._faults.get(name, ""):
            LOG.warning("%s: %s", name, sentence or "works again.")
            self._faults[name] = sentence

    def _follow_node(self) -> None:
        node = self._service.node
        now = time.monotonic()
        if self._swept_at is None or now > self._swept_at + SWEEP_S:
            cursor = node.last_change()
            for series in node.all_series():
                self._consider(series)
            self._cursor, self._swept_at, self._newcomers_at = cursor, now, now
        elif now > self._newcomers_at + NEWCOMERS_S:
            for series in node.all_series():
                if series not in self._seen:
                    self._consider(series)
            self._newcomers_at = now
        done = False
        while not done and not self._service.stopping.cancelled:
            changes, last, done = node.changes(self._cursor)
            for change in changes:
                if change.kind == "StableSeries":
                    self._seen.pop(change.resource, None)  # it may have been deleted and sent again
                    self._consider(change.resource)
            self._cursor = max(self._cursor, last)

    def _consider(self, series_id: str) -> None:
        """Make a job of a series as it is now, unless there is one; jobs of what it was before are superseded."""
        service = self._service
        if service.stopping.cancelled:
            return
        try:
            series = service.node.series(series_id)
            seen = hash(frozenset(series["Instances"]))
            if not series["IsStable"] or self._seen.get(series_id) == seen:
                return
            self._look_at(series)
        except NotThere:
            return  # deleted meanwhile
        self._seen[series_id] = seen

    def _look_at(self, series: dict) -> None:
        service, series_id = self._service, series["ID"]
        digest = digest_of(service.node.sop_instance_uids(series_id))
        key = job_id(series_id, digest, service.model)
        others = [job for job in service.table.of_series(series_id) if job.id != key]
        job = service.table.get(Job, key)
        if job is not None:
            self._revive(job, others)
        elif any(other.sop_digest == digest and other.state in DECIDED for other in others):
            return
        else:
            job = self._add(key, series, digest)
        self._supersede(job, others)

    def _add(self, key: str, series: dict, digest: str) -> Job:
        service = self._service
        headers = service.node.headers(series["ID"])
        reason = judge(headers, service.settings.rules)
        series_uid = series["MainDicomTags"].get("SeriesInstanceUID", "")
        job = Job(key, series["ID"], series_uid, digest, service.model, State.HELD if reason else State.QUEUED, reason)
        if service.table.add(job):
            service.note("added", job, state=str(job.state), reason=reason, instances=len(headers), model=job.model)
            service.publish(key)
            if reason:
                service.node.detach(job.node_id, RESULTS)  # of what the series was before
        return service.job(key)

    def _revive(self, job: Job, others: list[Job]) -> None:
        """A series that is again what it was before, and one that was deleted and sent again:
        its results are needed anew."""
        node = self._service.node
        by = next((other for other in others if other.id == job.superseded_by), None)
        back = job.state == State.SUPERSEDED and by is not None and by.sop_digest != job.sop_digest
        lost = job.state == State.WAITING and RESULTS not in node.attachments(job.node_id)
        deleted = job.state == State.FAILED and job.reason == DELETED
        if back or lost or deleted:
            self._service.move(job, State.QUEUED, attempts=0, next_try_at=0.0, superseded_by="")

    def _supersede(self, job: Job, others: list[Job]) -> None:
        for other in others:
            older = other.sop_digest != job.sop_digest or other.created < job.created
            if other.state in (State.SUPERSEDED, State.SENDING) or not older or other.superseded_by:
                continue
            self._service.move(other, State.SUPERSEDED, superseded_by=job.id, owner="")

    def _follow_reviews(self) -> None:
        service = self._service
        for job in service.table.rows(Job, [State.WAITING]):
            add_automatic(service, job)
            try:
                take_review(service, job)
            except NotThere:
                service.move(job, State.FAILED, reason=DELETED)
        for job in service.table.rows(Job, [State.SENDING]):
            settle(service, job.id)

    def _put_back(self) -> None:
        """What a worker that died had at hand."""
        service = self._service
        for row in expired(service.table, time.time()):
            waiting = State.QUEUED if isinstance(row, Job) else Sending.PENDING
            limited = isinstance(row, Job) and row.attempts >= service.settings.worker.attempts
            reason = "The worker stopped in the middle of it"
            if limited:
                service.move(row, State.FAILED, by=row.owner, owner="", reason=f"{reason}, {row.attempts} times.")
            else:
                service.move(row, waiting, by=row.owner, owner="", reason=f"{reason}.", next_try_at=0.0)

    def _hand_out(self) -> None:
        """All that is due, once the queue is empty: so nothing is lost with a task, and little is handed out twice."""
        for kind in (Job, Delivery):
            if self._queues.empty(kind):
                for row in self._mine(due(self._service.table, kind, time.time())):
                    self._queues.hand_out(row)

    def _mine(self, rows: list[Row]) -> list[Row]:
        return [row for row in rows if isinstance(row, Delivery) or row.model == self._service.model]

    def _publish(self) -> None:
        for job in self._service.table.unpublished():
            self._service.publish_now(job)
