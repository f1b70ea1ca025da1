"""What a job tells while it runs, and how it is cancelled."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass

from .errors import Cancelled


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    kind: "state" (stage names the job's new state), "progress" (stage, fraction 0..1 of the whole job, or None
    where unknown), "warning", "error" (message), "changes" (data: sentences on what has to be agreed to, and their
    digest), "patient" (of a batch; data: folder, state and reason), "done" (data).
    """

    kind: str
    stage: str | None = None
    fraction: float | None = None
    message: str | None = None
    data: dict | None = None

    def to_dict(self) -> dict:
        """As the JSON object of one line: the kind under "event", absent fields left out."""
        fields = {key: value for key, value in asdict(self).items() if value is not None}
        return {"event": fields.pop("kind"), **fields}


Emit = Callable[[Event], None]


def ignore(event: Event) -> None:
    """An Emit for callers that do not listen."""


class CancelToken:
    """Shared between who cancels and who works; safe across threads."""

    def __init__(self):
        self._event = threading.Event()

    def cancel(self) -> None:
        self._event.set()

    @property
    def cancelled(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep at most so long; True if cancelled meanwhile."""
        return self._event.wait(seconds)

    def raise_if_cancelled(self) -> None:
        if self.cancelled:
            raise Cancelled
