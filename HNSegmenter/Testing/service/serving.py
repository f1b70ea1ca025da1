"""Real workers (`hn-segmenter serve` as a process) for the tests of the service,
and series that are made up for them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from HNSegmenterLib.sample import sample_volume
from HNSegmenterLib.service.settings import ServiceSettings
from HNSegmenterLib.service.table.interface import Delivery, Job, Table
from HNSegmenterLib.service.table.opening import open_table
from Testing.machine import ROOT
from Testing.phantoms import write_ct_series
from Testing.service.fixtures import OrthancNode, send

# A model of two organs that takes a second: for tests where what is found does not matter.
QUICK_MODEL = ROOT / "training" / "fixtures" / "two_organs"
QUICK = {"model": str(QUICK_MODEL), "poll_s": 0.2, "lease_s": 4.0, "retry_s": 0.5}
HEAD_SPACING = (8.0, 8.0, 5.0)
OPEN_STATES = {"queued", "segmenting"}


class Serving:
    """One worker process. Its output is in `log`."""

    def __init__(self, config: Path, name: str = "worker"):
        self.log = config.parent / f"{name}.log"
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        environment.pop("HNSEG_JOBS", None)  # the jobs are in the worker's own folder
        command = [sys.executable, "-m", "HNSegmenterLib", "serve", "--config", str(config)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )

    def stop(self) -> int:
        """As an administrator stops it; returns its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode

    def kill(self) -> None:
        """As a power cut would end it and all that it started."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def serve() -> Iterator[Callable[..., Serving]]:
    """Starts workers, serve(node.config, name of the log), and waits until they serve; stopped after the test."""
    with ExitStack() as undo:

        def start(config: Path, name: str = "worker") -> Serving:
            worker = Serving(config, name)
            undo.callback(worker.stop)
            end = time.monotonic() + 120
            while "Serving" not in worker.log.read_text() and worker.process.poll() is None and time.monotonic() < end:
                time.sleep(0.05)
            assert worker.process.poll() is None, worker.log.read_text()
            return worker

        yield start


class Look:
    """The table, looked at from outside."""

    def __init__(self, settings: ServiceSettings):
        self._settings = settings
        self._table: Table | None = None

    @property
    def table(self) -> Table:
        if self._table is None:
            self._table = open_table(self._settings.worker)
        return self._table

    def jobs(self) -> list[Job]:
        return self.table.rows(Job)

    def deliveries(self) -> list[Delivery]:
        return self.table.rows(Delivery)

    def states(self) -> list[str]:
        return [str(job.state) for job in self.jobs()]

    def until(self, condition: Callable[[], bool], worker: Serving | None = None, seconds: float = 300) -> None:
        """Wait for it; fails with the worker's log and the table if it does not come true or the worker ends."""
        end = time.monotonic() + seconds
        while not condition():
            ended = worker is not None and worker.process.poll() is not None
            if ended or time.monotonic() > end:
                said = worker.log.read_text(errors="replace")[-3000:] if worker else ""
                pytest.fail(
                    f"{'the worker ended' if ended else 'waited in vain'}: {self.jobs()} {self.deliveries()} {said}"
                )
            time.sleep(0.05)

    def until_settled(self, count: int, worker: Serving | None = None, seconds: float = 300) -> list[Job]:
        """Wait until there are so many jobs, none is queued or being segmented, and the node has been told."""

        def settled() -> bool:
            jobs = self.jobs()
            return len(jobs) >= count and not any(
                job.state in OPEN_STATES or job.published != job.updated for job in jobs
            )

        self.until(settled, worker, seconds)
        return self.jobs()

    def close(self) -> None:
        if self._table is not None:
            self._table.close()


@pytest.fixture
def look() -> Iterator[Callable[[OrthancNode], Look]]:
    with ExitStack() as undo:

        def at(node: OrthancNode) -> Look:
            made = Look(node.settings)
            undo.callback(made.close)
            return made

        yield at


@cache
def small_head() -> np.ndarray:
    """The sample patient, coarse: HU [k, j, i], 68 slices of 64 x 64 at HEAD_SPACING;
    the network finds all organs in it."""
    return sitk.GetArrayFromImage(sample_volume(0)[0])[::2, ::8, ::8]


def write_head(folder: Path, patient: int = 1, slices: slice = slice(24, None), **tags) -> list[Path]:
    """A head as a CT series of a made-up patient with a number: 44 slices, as the rules ask for 40, or others."""
    return write_ct_series(folder, small_head()[slices], HEAD_SPACING, patient=identity(patient), tags=tags)


def identity(number: int) -> dict[str, str]:
    """All that must not be found in a log: each value occurs nowhere else."""
    return {
        "PatientName": f"TEST^Secretname{number:03d}",
        "PatientID": f"TEST-SECRETID-{number:03d}",
        "PatientBirthDate": f"1931{number % 12 + 1:02d}{number % 28 + 1:02d}",
        "AccessionNumber": f"SECRETACC{number:03d}",
        "SeriesDescription": f"Secretdescription {number:03d}",
        "StudyDescription": f"Secretstudy {number:03d}",
    }


def arrived(node: OrthancNode, files: Iterable[Path]) -> None:
    """Send files as the scanner; all are taken."""
    answer = send(files, node.port)
    assert answer.returncode == 0, answer.stderr[-2000:]
