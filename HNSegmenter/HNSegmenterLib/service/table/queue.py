"""The queue (huey): it carries the keys of due rows to the workers, and nothing else.
What it loses, the table gives again."""

from __future__ import annotations

import json
import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from huey import Huey, SqliteHuey
from huey.consumer import Consumer
from huey.registry import Message
from huey.serializer import Serializer

from ..settings import Worker

FINISH_S = 30.0  # that a worker which stops waits for the step at hand


class JsonSerializer(Serializer):
    """Tasks as JSON. Of huey's own, which pickles, whoever can write to the queue could run code in the workers."""

    def _serialize(self, data: Message) -> bytes:
        return json.dumps(list(data)).encode()

    def _deserialize(self, data: bytes) -> Message:
        return Message(*json.loads(data))


class Queue:
    """One step, run on the keys that are handed out."""

    def __init__(self, settings: Worker, name: str, serializer: Serializer):
        self._huey = _open(settings, name, serializer)
        self._task: Callable | None = None
        self._consumer: Consumer | None = None

    def consume(self, name: str, step: Callable[[str], None], side_by_side: int = 1) -> None:
        """Begin to run the step, in so many threads. Call it in the main thread, for huey's sake."""
        self._task = self._huey.task(name=name)(step)
        self._consumer = self._huey.create_consumer(
            workers=side_by_side, periodic=False, initial_delay=0.1, max_delay=0.5, check_worker_health=False
        )
        with _signals_kept():
            self._consumer.start()

    def empty(self) -> bool:
        return self._huey.pending_count() == 0

    def hand_out(self, key: str) -> None:
        assert self._task is not None  # it is consumed here too
        self._task(key)

    def stop(self) -> None:
        """Take up nothing more; wait() does the rest."""
        if self._consumer is not None:
            self._consumer.stop()

    def wait(self) -> None:
        """Until the steps at hand are over, at most FINISH_S for each."""
        if self._consumer is not None:
            for _, thread in self._consumer.worker_threads:
                thread.join(FINISH_S)


@contextmanager
def _signals_kept() -> Iterator[None]:
    """huey's consumers set their own handlers; ours, which cancel, come back."""
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    kept = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _open(settings: Worker, name: str, serializer: Serializer) -> Huey:
    options = {"results": False, "serializer": serializer}
    logging.getLogger("huey").setLevel(logging.ERROR)
    if settings.queue == "sqlite":
        settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return SqliteHuey(name, filename=str(settings.folder / "queue.db"), timeout=30, **options)
    from huey import RedisHuey

    from .redis_table import connection_pool

    return RedisHuey(name, connection_pool=connection_pool(settings.queue), **options)
