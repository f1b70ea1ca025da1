"""The audit log: one JSON line for every step of every job, in worker.folder/audit.jsonl.

It names jobs, series UIDs, states, reviewers (staff), destinations and answers; never a patient.
"""

from __future__ import annotations

import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path

NAME = "audit.jsonl"


class Audit:
    """Appends lines; safe from several threads and processes.
    What a full disk refuses is kept, and written once it can be."""

    def __init__(self, path: Path):
        self._path = path
        self._lock = threading.Lock()
        self._pending: list[bytes] = []

    def write(self, event: str, job: str, series_uid: str, **facts: str | int | float) -> None:
        """event: a verb in the past ("added", "moved", "sent"). facts: state, reason, reviewer, destination, ..."""
        values: dict[str, str | int | float] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "event": event,
            "job": job,
            "series_uid": series_uid,
        }
        values |= {name: value for name, value in facts.items() if value not in ("", None)}
        with self._lock:
            self._pending.append((json.dumps(values, ensure_ascii=False) + "\n").encode())
            self._flush()

    def _flush(self) -> None:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError:
            return
        try:
            while self._pending:
                line = self._pending[0]
                size = os.fstat(file).st_size
                if os.write(file, line) < len(line):  # the disk filled up in the middle of it
                    os.ftruncate(file, size)
                    return
                self._pending.pop(0)
            os.fsync(file)
        except OSError:
            pass
        finally:
            os.close(file)
