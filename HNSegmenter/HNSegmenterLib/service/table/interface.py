"""The table of jobs: what is known of every series and every sending. It is the truth; the queue only hands work out.

Two back ends keep one behaviour: SQLite on one machine, Redis for several. No row holds a name, number or date of
a patient: UIDs, Orthanc's ids, states, times (seconds since 1970, UTC), and sentences of our own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from ...errors import HNSegmenterError


class State(StrEnum):
    """queued -> segmenting -> waiting -> sending -> sent; the others are ends, or wait for someone."""

    QUEUED = "queued"
    SEGMENTING = "segmenting"
    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    HELD = "held"
    FAILED = "failed"
    REJECTED = "rejected"
    SUPERSEDED = "superseded"


class Sending(StrEnum):
    """States of one delivery."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"


REVIEWED, AUTOMATIC = "reviewed", "automatic"


@dataclass(frozen=True)
class Job:
    """One series as it was at one time, for one model.

    node_id: Orthanc's id of the series; sop_digest: of its sorted SOP Instance UIDs; model: digest of the model, or of
    the choice of several; attempts: how often segmenting was begun; owner, lease_until: who works on it, and until when
    it is believed alive; next_try_at: not before; published: the `updated` of the version attached to the series;
    summary: {"model", "models", "warnings", "organs"} of the result, and "corrections" of its approval
    (correcting.record).
    """

    id: str
    node_id: str
    series_uid: str
    sop_digest: str
    model: str
    state: str = State.QUEUED
    reason: str = ""
    attempts: int = 0
    owner: str = ""
    lease_until: float = 0.0
    next_try_at: float = 0.0
    created: float = 0.0
    updated: float = 0.0
    published: float = 0.0
    reviewer: str = ""
    superseded_by: str = ""
    summary: dict = field(default_factory=dict)

    @property
    def key(self) -> str:
        return self.id


@dataclass(frozen=True)
class Delivery:
    """One structure set for one destination. sop_instance_uid: fixed here, so that every repeat sends the same.

    kind: "reviewed" (what the reviewer approved) or "automatic" (sent without review); review_time: ISO, with zone;
    answer: the peer's; the rest as in Job.
    """

    job: str
    destination: str
    kind: str
    sop_instance_uid: str
    reviewer: str = ""
    review_time: str = ""
    state: str = Sending.PENDING
    reason: str = ""
    answer: str = ""
    attempts: int = 0
    owner: str = ""
    lease_until: float = 0.0
    next_try_at: float = 0.0
    created: float = 0.0
    updated: float = 0.0

    @property
    def key(self) -> str:
        return f"{self.job}/{self.kind}/{self.destination}"


Row = Job | Delivery
RowT = TypeVar("RowT", bound=Row)


class TableFault(HNSegmenterError):
    """The table cannot be read or written."""


class Table(Protocol):
    """Both back ends. Rows are named by their key; `kind` is Job or Delivery. Methods raise TableFault."""

    def add(self, row: Row) -> bool:
        """Add a row; False if its key is there already. `created` and `updated` are set."""

    def get(self, kind: type[RowT], key: str) -> RowT | None: ...

    def rows(self, kind: type[RowT], states: Iterable[str] | None = None) -> list[RowT]:
        """All rows, or those in one of the states, oldest first."""

    def of_series(self, node_id: str) -> list[Job]:
        """The jobs of a series, oldest first."""

    def deliveries(self, job: str) -> list[Delivery]:
        """The deliveries of a job, oldest first."""

    def move(self, kind: type[Row], key: str, before: str, after: str, by: str | None = None, **changes: Any) -> bool:
        """Compare and swap: if the row is in state `before` (and `by` owns it, where given), set `after` and the
        changes; False if not. `updated` is set."""

    def beat(self, kind: type[Row], key: str, owner: str, lease_until: float) -> bool:
        """Prolong a lease; False if another one has the row now, or it is no longer worked on."""

    def unpublished(self) -> list[Job]:
        """Jobs that changed after they were last attached to their series."""

    def mark_published(self, job: Job) -> None:
        """This version of the job has been attached."""

    def close(self) -> None: ...


def job_id(node_id: str, sop_digest: str, model: str) -> str:
    """The same for the same series, instances and model: a second job for them cannot be."""
    return hashlib.sha256(f"{node_id} {sop_digest} {model}".encode()).hexdigest()[:32]


def digest_of(sop_instance_uids: Iterable[str]) -> str:
    """Of the sorted UIDs."""
    return hashlib.sha256("\n".join(sorted(sop_instance_uids)).encode()).hexdigest()[:32]


def expired(table: Table, now: float) -> list[Row]:
    """Rows whose worker has not been heard of within its lease."""
    working: list[Row] = [*table.rows(Job, [State.SEGMENTING]), *table.rows(Delivery, [Sending.SENDING])]
    return [row for row in working if row.lease_until <= now]


def due(table: Table, kind: type[RowT], now: float) -> list[RowT]:
    """Rows that wait for a worker and whose time has come, oldest first."""
    waiting = State.QUEUED if kind is Job else Sending.PENDING
    return [row for row in table.rows(kind, [waiting]) if row.next_try_at <= now]
