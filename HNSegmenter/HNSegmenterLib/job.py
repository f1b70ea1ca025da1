"""A job: its folder, its state on disk, its progress, and that nothing of it is left behind."""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
import uuid
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from .errors import Cancelled, HNSegmenterError
from .events import CancelToken, Emit, Event, ignore
from .processes import alive
from .result import write_json
from .runtimes.base import JobFolder
from .settings import jobs_folder


class State(StrEnum):
    """A job goes down this list; it ends in one of the last three."""

    CREATED = "created"
    READING = "reading"
    RUNNING = "running"
    CHECKING = "checking"
    WRITING = "writing"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


# Share of the whole job at which a state begins, from the stages' times on a 512 x 512 x 130 series.
BEGINS = {
    State.CREATED: 0.0,
    State.READING: 0.0,
    State.RUNNING: 0.15,
    State.CHECKING: 0.7,
    State.WRITING: 0.8,
    State.DONE: 1.0,
}


class Job:
    """Use as a context manager: on leaving, the folder is removed whatever happened.

    The folder holds the CT, so it is made for this user alone. Its name and state.json say nothing of the patient.
    """

    def __init__(self, emit: Emit = ignore, cancel: CancelToken | None = None, root: Path | None = None):
        self.id = uuid.uuid4().hex
        self.path = (root or jobs_folder()) / self.id
        self.state = State.CREATED
        self.timings_s: dict[str, float] = {}
        self.cancel = cancel or CancelToken()
        self._emit = emit
        self._since = time.perf_counter()

    def __enter__(self) -> Job:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            remove_stale(self.path.parent)
            self.path.mkdir(mode=0o700)
        except OSError as error:
            raise HNSegmenterError(
                f"The job folder cannot be made in {self.path.parent} ({error.strerror}): "
                "free disk space there, or name another folder in HNSEG_JOBS."
            ) from error
        self._save()
        return self

    def __exit__(self, kind, error, trace) -> None:
        try:
            if kind is not None:
                self.enter(State.CANCELLED if issubclass(kind, Cancelled) else State.FAILED)
        finally:  # whoever listens may be gone: the CT must not stay
            shutil.rmtree(self.path, ignore_errors=True)

    def enter(self, state: State) -> None:
        """Go to a state, keep the time of the one that ended, and tell."""
        now = time.perf_counter()
        self.timings_s[str(self.state)] = round(now - self._since, 3)
        self.state, self._since = state, now
        self._save()
        self._emit(Event("state", stage=str(state), fraction=BEGINS.get(state)))
        if state not in (State.DONE, State.FAILED, State.CANCELLED):
            self.cancel.raise_if_cancelled()

    def timings(self) -> dict[str, float]:
        """Seconds of every state so far, the present one included."""
        return self.timings_s | {str(self.state): round(time.perf_counter() - self._since, 3)}

    def emit(self, event: Event) -> None:
        """Pass an event of the present state on, its fraction scaled to the whole job."""
        if event.kind == "progress" and event.fraction is not None:
            begin, end = BEGINS[self.state], BEGINS[_after(self.state)]
            event = Event("progress", event.stage, round(begin + (end - begin) * event.fraction, 4), event.message)
        self._emit(event)

    def folder(self, image_name: str) -> JobFolder:
        """The folder as a runtime sees it; image_name is img.nii or img.nii.gz."""
        folder = JobFolder(self.id, self.path, self.path / image_name)
        folder.results.mkdir(mode=0o700, exist_ok=True)
        return folder

    def _save(self) -> None:
        if self.path.is_dir():
            values = {
                "id": self.id,
                "state": str(self.state),
                "host": platform.node(),
                "pid": os.getpid(),
                "time": time.time(),
            }
            with suppress(OSError):  # a full disk: the step that needs the room says so
                write_json(self.path / "state.json", values)


def _after(state: State) -> State:
    order = list(BEGINS)
    return order[min(order.index(state) + 1, len(order) - 1)]


def remove_stale(root: Path) -> None:
    """Remove the folders of jobs whose process is gone (killed, power cut): they hold patients' CTs.

    Jobs of other computers that share the home folder are left to them.
    """
    for folder in root.iterdir():
        try:
            state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
            gone = state["host"] == platform.node() and not alive(state["pid"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if gone:
            shutil.rmtree(folder, ignore_errors=True)
