"""The queue (huey): it carries the keys of due rows to the workers, and nothing else.
What it loses, the table gives again."""

from __future__ import annotations

import logging
from collections.abc import Callable

from huey import Huey, SqliteHuey
from huey.consumer import Consumer
from huey.serializer import SignedSerializer

from ..settings import ServiceSettings
from ..table.interface import Delivery, Job, Row

NAMES = {Job: "segment", Delivery: "deliver"}
FINISH_S = 30.0  # that a worker which stops waits for the step at hand


class Queues:
    """Two queues, so that no delivery waits behind a segmentation, and no segmentation behind a planning system."""

    def __init__(self, settings: ServiceSettings):
        self._queues = {kind: _open(settings, f"hn-segmenter-{name}") for kind, name in NAMES.items()}
        self._tasks: dict[type[Row], Callable] = {}
        self._consumers: list[Consumer] = []

    def consume(self, steps: dict[type[Row], Callable[[str], None]]) -> None:
        """Begin to run the steps on what is handed out, each in a thread of its own. Call it in the main thread."""
        for kind, step in steps.items():
            queue = self._queues[kind]
            self._tasks[kind] = queue.task(name=NAMES[kind])(step)
            consumer = queue.create_consumer(
                workers=1, periodic=False, initial_delay=0.1, max_delay=0.5, check_worker_health=False
            )
            consumer.start()
            self._consumers.append(consumer)

    def empty(self, kind: type[Row]) -> bool:
        return self._queues[kind].pending_count() == 0

    def hand_out(self, row: Row) -> None:
        self._tasks[type(row)](row.key)

    def stop(self) -> None:
        """End the consumers once the steps at hand are over."""
        for consumer in self._consumers:
            consumer.stop()
        for consumer in self._consumers:
            for _, thread in consumer.worker_threads:
                thread.join(FINISH_S)


def _open(settings: ServiceSettings, name: str) -> Huey:
    # Tasks are pickled: what others wrote into the queue is refused by its signature.
    options = {"results": False, "serializer": SignedSerializer(secret=settings.node.password(), salt=name)}
    logging.getLogger("huey").setLevel(logging.ERROR)
    if settings.worker.queue == "sqlite":
        settings.worker.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return SqliteHuey(name, filename=str(settings.worker.folder / "queue.db"), timeout=30, **options)
    from huey import RedisHuey

    from ..table.redis_table import connection_pool

    return RedisHuey(name, connection_pool=connection_pool(settings.worker.queue), **options)
