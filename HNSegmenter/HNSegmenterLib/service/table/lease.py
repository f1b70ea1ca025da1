"""A row is worked on under a lease: who stays silent beyond it is taken for dead, and the row is put back."""

from __future__ import annotations

import os
import platform
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import HNSegmenterError
from ...events import CancelToken
from ...processes import alive
from .interface import Row, Table


def owner_name() -> str:
    """Of this process, as rows name whom they belong to: no other one has or had it."""
    return f"{platform.node()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def is_gone(owner: str) -> bool:
    """Whether an owner is a process of this computer that has ended. Of those of others, only their lease tells."""
    host, _, rest = owner.rpartition(":")[0].rpartition(":")
    return host == platform.node() and rest.isdecimal() and not alive(int(rest))


@contextmanager
def lease(table: Table, row: Row, owner: str, lease_s: float, stopping: CancelToken) -> Iterator[CancelToken]:
    """Keep the row the owner's while the body runs. The token is cancelled when another worker took it,
    or this one stops."""
    token, ended = CancelToken(), threading.Event()
    beat_s = lease_s / 4

    def beat() -> None:
        due = time.monotonic() + beat_s
        while not ended.wait(0.1) and not token.cancelled:
            if stopping.cancelled:
                token.cancel()
            if time.monotonic() < due:
                continue
            due = time.monotonic() + beat_s
            try:
                if not table.beat(type(row), row.key, owner, time.time() + lease_s):
                    token.cancel()
            except HNSegmenterError:  # the table is away for a moment; the lease outlives some beats
                pass

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield token
    finally:
        ended.set()
        thread.join()
