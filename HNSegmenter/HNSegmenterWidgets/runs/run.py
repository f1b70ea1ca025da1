"""A command of HN Segmenter in a child process, followed event by event until it ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum

import slicer

from HNSegmenterLib import scene
from HNSegmenterLib.scene.handover import IMAGE

from .process import CANCEL_MS, ChildProcess

CANCELLED_EXIT = 130


class RunState(StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Run:
    """onEvent(dict) for every event, onEnd(run) once; job is the hand-over of a segmentation, None for other commands.

    After the end, state says how it ended and sentence why it failed.
    """

    def __init__(self, job: scene.HandOver | None, onEvent: Callable[[dict], None], onEnd: Callable[[Run], None]):
        self.job = job
        self.state = RunState.RUNNING
        self.sentence = ""
        self.log: list[str] = []
        self._onEvent, self._onEnd = onEvent, onEnd
        self._child = ChildProcess(self._line, self._ended)
        self._cancelled = False
        self._since = time.monotonic()
        self._last: dict = {}

    @property
    def running(self) -> bool:
        return self.state == RunState.RUNNING

    @property
    def cancelling(self) -> bool:
        return self.running and self._cancelled

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._since

    def start(self, arguments: list[str], environment: dict[str, str]) -> None:
        """arguments: all that comes after Python's own name. Raises RuntimeFault."""
        self._child.start(arguments, environment)
        if self.job is not None:
            self.job.started(self._child.pid)

    def cancel(self) -> None:
        """Ask the child to stop; onEnd follows. Asking again does nothing."""
        if not self._cancelled:
            self._cancelled = True
            self._child.cancel()

    def kill(self) -> None:
        """For a child that does not stop. What it leaves is removed by the next run."""
        self._cancelled = True
        self._child.kill()

    def abandon(self, wait_ms: int = CANCEL_MS, cancel: bool = True) -> None:
        """Stop now, wait until its container is gone, and remove its folder; nobody is called.
        cancel False: let it end in that time."""
        if not self.running:
            return
        self.state = RunState.CANCELLED
        self._child.stop(wait_ms, cancel)
        if self.job is not None:
            self.job.remove()

    def release(self) -> None:
        """Let it finish without Slicer; its result is found at the next start."""
        self.state = RunState.CANCELLED
        self._child.release()

    def status(self) -> dict:
        """state, and stage, fraction (0..1 or None) and message of the latest event; the sentence if it failed."""
        last = {key: self._last.get(key) for key in ("stage", "fraction", "message")}
        return {"state": str(self.state), **last} | ({"message": self.sentence} if self.sentence else {})

    def wait(self) -> None:
        """Until it ended, with Slicer's window alive."""
        while self.running:
            slicer.app.processEvents()
            time.sleep(0.02)

    def _line(self, text: str) -> None:
        event = scene.parse_line(text)
        if event is None:
            self.log.append(text)
            return
        if event["event"] == "error":
            self.sentence = event.get("message", "")
        if event["event"] in ("state", "progress"):
            self._last = event
        self._onEvent(event)

    def _ended(self, exitCode: int | None, errors: str) -> None:
        self.log += errors.splitlines()
        if self._cancelled or exitCode == CANCELLED_EXIT:
            self.state = RunState.CANCELLED
        elif exitCode == 0:
            self.state = RunState.DONE
        else:
            self.state = RunState.FAILED
            self.sentence = self.sentence or scene.last_words(errors)
        if self.state != RunState.DONE and self.job is not None:
            self.sentence = self.sentence.removeprefix(f"{self.job.folder / IMAGE}: ")  # a file that the user never saw
            self.job.remove()
        self._onEnd(self)
