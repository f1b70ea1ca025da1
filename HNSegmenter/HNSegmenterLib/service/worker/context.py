"""What every step of the service works with, and the one way in which a job changes its state."""

from __future__ import annotations

import logging
import time
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from ...events import CancelToken
from ...runtimes.base import Runtime
from ..node.client import JOB, Node, NodeFault, NotThere
from ..settings import ServiceSettings
from ..table.interface import Delivery, Job, Row, RowT, Sending, State, Table, TableFault
from ..table.lease import lease, owner_name
from ..table.opening import open_table
from .audit import NAME, Audit

LOG = logging.getLogger("hn_segmenter.service")
DELETED = "The series was deleted from the node."
MODEL_KEYS = ("name", "version", "digest")
LONGEST_PAUSE_S = 300.0  # between two attempts


@dataclass
class Service:
    """One worker: its settings, the node, the table, the audit log, the runtime and the digest of its model."""

    settings: ServiceSettings
    node: Node
    table: Table
    audit: Audit
    runtime: Runtime | None = None
    model: str = ""
    stopping: CancelToken = field(default_factory=CancelToken)
    owner: str = field(default_factory=owner_name)

    @classmethod
    def open(cls, settings: ServiceSettings) -> Service:
        """Raises TableFault, NodeFault or WrongUsage."""
        return cls(settings, Node(settings.node), open_table(settings.worker), Audit(settings.worker.folder / NAME))

    def close(self) -> None:
        self.node.close()
        self.table.close()

    def move(self, row: Row, after: str, by: str | None = None, **changes: Any) -> bool:
        """Compare and swap from the state that `row` has (interface.Table.move);
        a change is logged, audited and published."""
        if not self.table.move(type(row), row.key, row.state, after, by=by, **changes):
            return False
        self.note("moved", row, state=str(after), before=str(row.state), **_told(changes))
        if isinstance(row, Delivery):
            self._touch(row.job)
        self.publish(row.id if isinstance(row, Job) else row.job)
        return True

    def job(self, key: str) -> Job:
        """One that is in the table, for none is ever taken out. Raises TableFault."""
        job = self.table.get(Job, key)
        if job is None:
            raise TableFault(f"Job {key} is not in the table any more: was worker.queue changed, or its file removed?")
        return job

    def claim(self, row: RowT) -> RowT | None:
        """Make the row ours to work on; None if another worker was first."""
        working = State.SEGMENTING if isinstance(row, Job) else Sending.SENDING
        changes: dict[str, Any] = {
            "owner": self.owner,
            "lease_until": self._lease_end(),
            "attempts": row.attempts + 1,
            "reason": "",
        }
        return replace(row, state=working, **changes) if self.move(row, working, **changes) else None

    def end(self, row: Row, after: str, **changes: Any) -> bool:
        """Leave a row that we claimed, if it is ours still."""
        return self.move(row, after, by=self.owner, owner="", **changes)

    def again(self, row: Row, reason: str, limited: bool) -> bool:
        """Leave a row that we claimed for another attempt, later. limited: it fails after worker.attempts of them;
        else the fault lies outside of the row (node, disk, network) and time will mend it."""
        if limited and row.attempts >= self.settings.worker.attempts:
            return self.end(row, State.FAILED, reason=reason)
        attempts = row.attempts - 1 if isinstance(row, Job) and not limited else row.attempts
        waiting = State.QUEUED if isinstance(row, Job) else Sending.PENDING
        return self.end(row, waiting, reason=reason, attempts=attempts, next_try_at=self._after_pause(row.attempts))

    def note(self, event: str, row: Row, **facts: Any) -> None:
        """A line in the audit log, and one for who watches the worker."""
        job = self.job(row.job) if isinstance(row, Delivery) else row
        if isinstance(row, Delivery):
            facts = {
                "destination": row.destination,
                "kind": row.kind,
                "sop_instance_uid": row.sop_instance_uid,
                **facts,
            }
        self.audit.write(event, job.id, job.series_uid, **facts)
        LOG.info(
            "job %s, series %s: %s %s",
            job.id,
            job.series_uid,
            event,
            " ".join(f"{k}={v}" for k, v in facts.items() if v),
        )

    def _touch(self, job: str) -> None:
        """The job's deliveries are in its job.json: it is to be published, even if this worker dies before it could."""
        row = self.table.get(Job, job)
        if row:
            self.table.move(Job, row.id, row.state, row.state)

    def publish(self, job: str) -> None:
        """Attach job.json to the series. What the node does not take now is attached by the next look round."""
        with suppress(NodeFault):
            self.publish_now(self.table.get(Job, job))

    def publish_now(self, job: Job | None) -> None:
        """Raises NodeFault. A series that is gone needs no job.json, and it tells of a series' newest job only."""
        if job is None:
            return
        current = [other.id for other in self.table.of_series(job.node_id) if other.state != State.SUPERSEDED]
        if current[-1:] == [job.id]:
            with suppress(NotThere):
                self.node.attach_json(job.node_id, JOB, describe(job, self.table.deliveries(job.id), self.settings))
        self.table.mark_published(job)

    def _after_pause(self, attempts: int) -> float:
        """When to try again after so many attempts; the pauses double."""
        return time.time() + min(self.settings.worker.retry_s * 2 ** max(attempts - 1, 0), LONGEST_PAUSE_S)

    def lease(self, row: Row) -> AbstractContextManager[CancelToken]:
        """Keep the row ours while the body runs. The token is cancelled when another worker took it,
        or this one stops."""
        return lease(self.table, row, self.owner, self.settings.worker.lease_s, self.stopping)

    def _lease_end(self) -> float:
        return time.time() + self.settings.worker.lease_s


def describe(job: Job, deliveries: list[Delivery], settings: ServiceSettings) -> dict:
    """job.json: what the inbox shows of a series. It stays in the node, like the series itself."""
    return {
        "job": job.id,
        "state": str(job.state),
        "reason": job.reason,
        "created": _iso(job.created),
        "updated": _iso(job.updated),
        "attempts": job.attempts,
        "reviewer": job.reviewer,
        "model": job.summary.get("model", {}),
        "models": job.summary.get("models", []),
        "warnings": job.summary.get("warnings", []),
        "organs": job.summary.get("organs", []),
        "corrections": job.summary.get("corrections"),
        "sop_digest": job.sop_digest,
        "destinations": [item.name for item in settings.destinations.values()],
        "deliveries": [
            {
                name: getattr(item, name)
                for name in ("destination", "kind", "state", "attempts", "reason", "answer", "sop_instance_uid")
            }
            for item in deliveries
        ],
    }


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")


def _told(changes: dict) -> dict:
    """What of a change the audit log tells."""
    names = ("reason", "attempts", "reviewer", "superseded_by", "answer")
    told = {name: changes[name] for name in names if name in changes}
    if models := changes.get("summary", {}).get("models"):
        told["models"] = "; ".join(" ".join(filter(None, map(model.get, MODEL_KEYS))) for model in models)
    return told
