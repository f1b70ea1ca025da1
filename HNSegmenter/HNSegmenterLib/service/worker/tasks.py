"""The service's two queues, of series to segment and of deliveries."""

from __future__ import annotations

from collections.abc import Callable

from huey.serializer import SignedSerializer

from ..settings import ServiceSettings
from ..table.interface import Delivery, Job, Row
from ..table.queue import Queue

NAMES = {Job: "segment", Delivery: "deliver"}


class Queues:
    """Two queues, so that no delivery waits behind a segmentation, and no segmentation behind a planning system."""

    def __init__(self, settings: ServiceSettings):
        self._queues: dict[type[Row], Queue] = {}
        for kind, name in NAMES.items():
            full = f"hn-segmenter-{name}"
            # Tasks are pickled: what others wrote into the queue is refused by its signature.
            signed = SignedSerializer(secret=settings.node.password(), salt=full)
            self._queues[kind] = Queue(settings.worker, full, signed)

    def consume(self, steps: dict[type[Row], Callable[[str], None]]) -> None:
        """Begin to run the steps on what is handed out, each in a thread of its own. Call it in the main thread."""
        for kind, step in steps.items():
            self._queues[kind].consume(NAMES[kind], step)

    def empty(self, kind: type[Row]) -> bool:
        return self._queues[kind].empty()

    def hand_out(self, row: Row) -> None:
        self._queues[type(row)].hand_out(row.key)

    def stop(self) -> None:
        """End the consumers once the steps at hand are over."""
        for queue in self._queues.values():
            queue.stop()
        for queue in self._queues.values():
            queue.wait()
