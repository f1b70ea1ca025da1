"""How many patients an hour the service segments: `python -m tools.measure_service --config service.toml`.

Sends copies of the sample patient to the node (a node for tests: they are deleted again), lets workers segment them
from an empty table, and prints a table. Nothing else should run on the computer meanwhile.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from HNSegmenterLib.errors import HNSegmenterError
from HNSegmenterLib.events import CancelToken
from HNSegmenterLib.sample import sample_volume
from HNSegmenterLib.sample.series import MadeUp, write_series
from HNSegmenterLib.service.node.client import Node
from HNSegmenterLib.service.settings import ServiceSettings, load
from HNSegmenterLib.service.table.interface import Job, State
from HNSegmenterLib.service.table.opening import open_table
from HNSegmenterLib.service.worker.serving import serve

POLL_S = 0.1
LONGEST_S = 3600.0


@dataclass(frozen=True)
class Measured:
    """seconds: from the first series' beginning to the last one's end; twice: series that were begun more than once."""

    queue: str
    workers: int
    series: int
    seconds: float
    twice: int

    @property
    def per_hour(self) -> float:
        return 3600 * self.series / self.seconds


def patient(number: int) -> MadeUp:
    text = "Measuring the service, no real person"
    return MadeUp(
        f"TEST^Measured{number}",
        f"HNSEG-MEASURED-{number}",
        text,
        text,
        text,
        f"HN Segmenter measured patient {number}",
    )


def send(node: Node, count: int) -> list[str]:
    """Store so many copies of the sample patient; returns the ids of their series."""
    ct, _ = sample_volume()
    found = []
    for number in range(count):
        with tempfile.TemporaryDirectory(prefix="hn-segmenter-") as folder:
            for file in sorted(write_series(ct, Path(folder) / "ct", patient(number)).iterdir()):
                node.upload(file.read_bytes())
        series = node.find_series(patient(number).uid("series"))
        if series is None:
            raise HNSegmenterError("The node does not have a series that it has just taken: look into its log.")
        found.append(series)
    return found


def measure(settings: ServiceSettings, series: list[str], workers: int, queue: str) -> Measured:
    """Segment the series with so many workers, as `serve` runs them,
    on a fresh table (Redis: on one without jobs of ours)."""
    with tempfile.TemporaryDirectory(prefix="hn-segmenter-") as folder:
        own = replace(settings, worker=replace(settings.worker, folder=Path(folder), queue=queue))
        table = open_table(own.worker)
        if table.rows(Job):
            raise HNSegmenterError(
                "The table in Redis holds jobs: give one that is used by nothing else, redis://host:6379/9 say."
            )
        context = multiprocessing.get_context("spawn")
        processes = [context.Process(target=_work, args=(own,)) for _ in range(workers)]
        for process in processes:
            process.start()
        try:
            jobs = _wait(table, set(series), processes)
        finally:
            for process in processes:
                process.terminate()
                process.join()
        began = min(job.created for job in jobs)
        seconds = max(job.updated for job in jobs) - began
        table.close()
        _forget(queue)
        return Measured(queue.partition(":")[0], workers, len(jobs), seconds, sum(job.attempts > 1 for job in jobs))


def _forget(queue: str) -> None:
    """Leave a Redis as empty of our jobs as it was; the table in a file went with its folder."""
    if queue == "sqlite":
        return
    import redis

    from HNSegmenterLib.service.table.redis_table import PREFIX, connection_pool

    client = redis.Redis(connection_pool=connection_pool(queue))
    for key in client.scan_iter(f"{PREFIX}*"):
        client.delete(key)


def _wait(table, series: set[str], processes: list) -> list[Job]:
    end = time.monotonic() + LONGEST_S
    while time.monotonic() < end and all(process.is_alive() for process in processes):
        jobs = [job for job in table.rows(Job) if job.node_id in series]
        if len(jobs) == len(series) and not any(job.state in (State.QUEUED, State.SEGMENTING) for job in jobs):
            return jobs
        time.sleep(POLL_S)
    raise HNSegmenterError("The workers did not come to an end: see their log above.")


def _work(settings: ServiceSettings) -> None:
    os.environ["HNSEG_JOBS"] = str(settings.worker.folder / "jobs")
    stopping = CancelToken()
    signal.signal(signal.SIGTERM, lambda *_: stopping.cancel())
    serve(settings, stopping, lambda _: None)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.measure_service", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="service.toml of a node for tests")
    parser.add_argument("--series", type=int, default=8, help="patients (default: 8)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="numbers of workers (default: 1 2)")
    parser.add_argument("--queue", nargs="+", default=["sqlite"], help="sqlite, and URLs of Redis")
    args = parser.parse_args(argv)
    try:
        settings = load(args.config)
        with Node(settings.node) as node:
            series = send(node, args.series)
            try:
                print(
                    "| queue | workers | patients | seconds | patients an hour | done twice |\n"
                    "| --- | ---: | ---: | ---: | ---: | ---: |"
                )
                for queue in args.queue:
                    for workers in args.workers:
                        got = measure(settings, series, workers, queue)
                        print(
                            f"| {got.queue} | {got.workers} | {got.series} | {got.seconds:.1f} "
                            f"| {got.per_hour:.0f} | {got.twice} |",
                            flush=True,
                        )
            finally:
                for series_id in series:
                    node.delete_series(series_id)
    except HNSegmenterError as fault:
        print(fault.sentence, file=sys.stderr)
        return fault.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
