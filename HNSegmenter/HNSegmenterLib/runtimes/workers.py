"""Run calls that may block where a cancel and a deadline still take effect at once."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..errors import EngineFault
from ..events import CancelToken

# How often a waiting caller looks for a cancel.
POLL_S = 0.05
# How many items a stream is read ahead: of a saved image, so many MB.
AHEAD = 32
# How often a full stream looks whether its reader has left.
LEFT_S = 1.0


class Deadline:
    """The moment at which a job has taken too long."""

    def __init__(self, seconds: float):
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def check(self) -> None:
        """Raises EngineFault when the time is over."""
        if time.monotonic() > self._end:
            raise EngineFault(
                f"The container did not finish within {self.seconds:g} s and was stopped: "
                "raise timeout_s in the settings, or look why the engine is so slow."
            )


class Worker:
    """A call in a thread of its own, which is given up (not stopped) when the job is cancelled or too late."""

    def __init__(self, call: Callable[[], Any]):
        self._call = call
        self._done = threading.Event()
        self._value: Any = None
        self._error: BaseException | None = None
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        try:
            self._value = self._call()
        except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
            self._error = error
        finally:
            self._done.set()

    def result(self, cancel: CancelToken, deadline: Deadline) -> Any:
        """Its value or its exception; raises Cancelled or EngineFault as soon as either is due."""
        while not self._done.wait(POLL_S):
            cancel.raise_if_cancelled()
            deadline.check()
        if self._error is not None:
            raise self._error
        return self._value

    def outcome(self, seconds: float) -> Any:
        """Its value; None if it failed or is not done after so long."""
        self._done.wait(seconds)
        return self._value


class Stream:
    """The items of an iterable that blocks, read ahead by a thread, which stops once the reader has left."""

    _END = object()

    def __init__(self, make: Callable[[], Iterable]):
        self._items: queue.Queue = queue.Queue(AHEAD)
        self._left = threading.Event()
        self._make = make
        threading.Thread(target=self._pump, daemon=True).start()

    def _pump(self) -> None:
        try:
            for item in self._make():
                if not self._put(item):
                    return
            self._put(self._END)
        except Exception as error:  # noqa: BLE001 - raised where the items are read
            self._put(error)

    def _put(self, item: Any) -> bool:
        """Wait for room; False if the reader has left."""
        while not self._left.is_set():
            try:
                self._items.put(item, timeout=LEFT_S)
                return True
            except queue.Full:
                continue
        return False

    def __iter__(self) -> Iterator:
        """Items as they come; None each POLL_S without one, so that the reader can look at other things.

        Raises what the iterable raised.
        """
        try:
            while True:
                try:
                    item = self._items.get(timeout=POLL_S)
                except queue.Empty:
                    yield None
                    continue
                if item is self._END:
                    return
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            self._left.set()
