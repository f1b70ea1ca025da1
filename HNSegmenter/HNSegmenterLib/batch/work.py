"""The work on all series of a batch, by any number of workers: handed out, held by a lease, put in place.

What is done, OUT alone tells. The table tells who is at what now, and why something was not done; it is compared with
OUT at each start.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import Cancelled, HNSegmenterError
from ..events import CancelToken, Event
from ..rtstruct.names import NameTable
from ..service.settings import Rules, Worker
from ..service.table.interface import Job, State, Table, job_id
from ..service.table.lease import is_gone, lease, owner_name
from ..service.table.opening import open_table
from ..service.table.queue import JsonSerializer, Queue
from .child import Children, MakeRuntime
from .find import Candidate
from .one import CANCELLED, DONE, FAILED, LEFT_OUT, Answer, Task
from .results import Made, Standing, clear_remains, hidden, put_in_place, standing

ENDS = {State.WAITING, State.HELD, State.FAILED}  # done (it waits for a review), no planning CT, failed
TRIES = 2  # of what may work the second time
STOPS = 3  # so often may the worker of a series die before the series is taken for the cause
AGAIN_S = 3.0  # before the second try: others come first
LOOK_S = 0.3
OTHER = (
    "OUT holds it already, from other images of the series, of another model or with other names: --overwrite replaces "
    "it, another OUT keeps both."
)
STOPPED = "The program ended in the middle of it {} times."


@dataclass
class Settings:
    """Of a batch. worker: queue, folder of the table in SQLite, lease; space: names OUT's table in Redis."""

    out: Path
    made: Made
    worker: Worker
    jobs: int
    space: str = ""
    rules: Rules = field(default_factory=Rules)
    names: NameTable | None = None
    overwrite: bool = False


class Work:
    """One worker's part in a batch."""

    def __init__(self, candidates: tuple[Candidate, ...], settings: Settings, make_runtime: MakeRuntime):
        self._settings = settings
        self._by_id = {
            job_id(one.folder, one.sop_digest, settings.made.model + settings.made.names): one for one in candidates
        }
        self._table: Table = open_table(settings.worker, settings.space)
        self._queue = Queue(settings.worker, f"hn-segmenter-{settings.space}", JsonSerializer())
        self._children = Children(make_runtime)
        self._owner = owner_name()
        self._stopping = CancelToken()
        self._rows: dict[str, Job] = {}
        self._before: dict[str, Answer] = {}  # by folder, what was settled before anything was done
        self._running: dict[str, float] = {}  # by id, the fraction done of what is at hand here
        self._fault = ""

    def run(
        self, look: Callable[[dict[str, Answer], float], None], say: Callable[[str], None], cancel: CancelToken
    ) -> None:
        """Until everything has an end, whoever brought it there. In the main thread, for huey's sake.

        look is given answers() and at_hand() a few times a second. Raises Cancelled, once what was at hand has been
        given back.
        """
        try:
            self._begin()
            if self._open_ids():
                self._queue.consume("contour", self._step, self._settings.jobs)
            while self._open_ids():
                cancel.raise_if_cancelled()
                self._look_round(say)
                look(self.answers(), self.at_hand())
                cancel.wait(LOOK_S)
            look(self.answers(), self.at_hand())
        finally:
            self._stopping.cancel()
            self._queue.stop()
            self._queue.wait()
            self._children.close()
            self._table.close()

    def answers(self) -> dict[str, Answer]:
        """By folder, what became of every series that has an end."""
        return self._before | {
            self._by_id[key].folder: _answer(row) for key, row in self._rows.items() if row.state in ENDS
        }

    def at_hand(self) -> float:
        """How many series' worth is done of those that are being contoured here."""
        return sum(self._running.copy().values())  # others write it

    def _begin(self) -> None:
        """Make the table agree with OUT: what is not done there is to be done, whatever the table says."""
        for key, candidate in self._by_id.items():
            there = standing(self._settings.out, candidate, self._settings.made)
            if there == Standing.DONE:
                self._before[candidate.folder] = Answer(DONE)
            elif there == Standing.OTHER and not self._settings.overwrite:
                self._before[candidate.folder] = Answer(FAILED, OTHER)
            else:
                self._put_in_table(key, candidate)
        self._read_rows()

    def _put_in_table(self, key: str, candidate: Candidate) -> None:
        row = Job(key, candidate.folder, candidate.series_uid, candidate.sop_digest, self._settings.made.model)
        if self._table.add(row):
            return
        known = self._table.get(Job, key)
        if known and (known.state in ENDS or is_gone(known.owner)):
            self._table.move(
                Job, key, known.state, State.QUEUED, by=known.owner, owner="", attempts=0, next_try_at=0.0, reason=""
            )

    def _open_ids(self) -> list[str]:
        return [
            key
            for key, candidate in self._by_id.items()
            if candidate.folder not in self._before and (key not in self._rows or self._rows[key].state not in ENDS)
        ]

    def _look_round(self, say: Callable[[str], None]) -> None:
        """A table or queue that is away for a moment is told of once, and waited for."""
        try:
            self._read_rows()
            self._put_back()
            self._hand_out()
        except HNSegmenterError as fault:
            sentence = fault.sentence
        except Exception as fault:  # noqa: BLE001 - the queue's own, of many kinds
            sentence = f"The queue cannot be used ({type(fault).__name__})."
        else:
            sentence = ""
        if sentence and sentence != self._fault:
            say(f"{sentence} Waiting for it.")
        self._fault = sentence

    def _read_rows(self) -> None:
        self._rows = {row.id: row for row in self._table.rows(Job) if row.id in self._by_id}

    def _put_back(self) -> None:
        """What a worker that died had at hand."""
        for key, row in self._rows.items():
            if row.state != State.SEGMENTING or not (row.lease_until <= time.time() or is_gone(row.owner)):
                continue
            if row.attempts >= STOPS:
                reason = STOPPED.format(row.attempts)
                self._table.move(Job, key, row.state, State.FAILED, by=row.owner, owner="", reason=reason)
            else:
                self._table.move(Job, key, row.state, State.QUEUED, by=row.owner, owner="", next_try_at=0.0)

    def _hand_out(self) -> None:
        """All that is due, once the queue is empty: so nothing is lost with a task, and little is handed out twice."""
        if self._queue.empty():
            for key, row in self._rows.items():
                if row.state == State.QUEUED and row.next_try_at <= time.time():
                    self._queue.hand_out(key)

    def _step(self, key: str) -> None:
        """A task of the queue. A table that cannot be written leaves the row: its lease ends, and it is put back."""
        try:
            row = self._table.get(Job, key)
            candidate = self._by_id.get(key)
            if row and candidate and not self._stopping.cancelled and (claimed := self._claim(row)):
                self._do(claimed, candidate)
        except HNSegmenterError:
            pass  # _look_round meets it too, and says so
        finally:
            self._running.pop(key, None)

    def _claim(self, row: Job) -> Job | None:
        if row.state != State.QUEUED or row.next_try_at > time.time():
            return None
        changes: dict[str, Any] = {
            "owner": self._owner,
            "lease_until": time.time() + self._settings.worker.lease_s,
            "attempts": row.attempts + 1,
        }
        moved = self._table.move(Job, row.id, row.state, State.SEGMENTING, **changes)
        return replace(row, state=State.SEGMENTING, **changes) if moved else None

    def _do(self, row: Job, candidate: Candidate) -> None:
        settings = self._settings
        with lease(self._table, row, self._owner, settings.worker.lease_s, self._stopping) as cancel:
            try:
                if standing(settings.out, candidate, settings.made) == Standing.DONE:
                    answer = Answer(DONE)  # whoever did it was killed before the table knew
                else:
                    answer = self._contour(row, candidate, cancel)
            except Cancelled:
                answer = Answer(CANCELLED)
            except HNSegmenterError as fault:
                answer = Answer(FAILED, fault.sentence)
            except Exception as fault:  # noqa: BLE001 - a bug: what it says may quote the patient
                answer = Answer(FAILED, f"An unforeseen fault ({type(fault).__name__}).", again=True)
            if answer.state == FAILED and standing(settings.out, candidate, settings.made) == Standing.DONE:
                answer = Answer(DONE)  # by one who came back after its lease was over
            self._end(row, answer)

    def _contour(self, row: Job, candidate: Candidate, cancel: CancelToken) -> Answer:
        settings = self._settings
        clear_remains(settings.out, candidate)
        staged = hidden(settings.out, candidate)
        task = Task(candidate, staged, settings.made, settings.rules, settings.names)

        def emit(event: Event) -> None:
            if event.fraction is not None:
                self._running[row.id] = event.fraction

        answer = self._children.do(task, emit, cancel)
        if answer.state == DONE:
            cancel.raise_if_cancelled()
            if not self._table.beat(Job, row.id, self._owner, time.time() + settings.worker.lease_s):
                raise Cancelled  # we were silent for too long: who has it now does it
            put_in_place(staged, settings.out, candidate, settings.made, settings.overwrite)
        return answer

    def _end(self, row: Job, answer: Answer) -> None:
        changes: dict[str, Any] = {"owner": "", "reason": answer.reason}
        after = {DONE: State.WAITING, LEFT_OUT: State.HELD, CANCELLED: State.QUEUED}.get(answer.state, State.FAILED)
        if answer.state == CANCELLED:
            changes |= {"attempts": row.attempts - 1}
        elif after == State.FAILED and answer.again and row.attempts < TRIES:
            after = State.QUEUED
            changes |= {"next_try_at": time.time() + AGAIN_S}
        self._table.move(Job, row.id, row.state, after, by=self._owner, **changes)


def _answer(row: Job) -> Answer:
    state = {State.WAITING: DONE, State.HELD: LEFT_OUT}.get(State(row.state), FAILED)
    return Answer(state, row.reason)
