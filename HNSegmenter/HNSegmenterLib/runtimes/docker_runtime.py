"""The network in a Docker container: CT in, progress out, labelmaps out, container gone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import HNSegmenterError, RuntimeFault
from ..events import CancelToken, Emit, Event
from ..result import Result
from . import containers, thesis_image, transfer
from .base import JobFolder
from .containers import Limits
from .engine import Engine
from .images import THESIS, ImageInfo
from .watch import Watch, check_end, last_stderr_line
from .workers import Deadline, Worker

# Shares of the run's progress bar: the CT goes up, the container works, the results come down.
UPLOADED, COMPUTED = 0.05, 0.95
# How long an engine that hangs may delay the end of a job.
CREATION_S, REMOVAL_S = 5.0, 10.0


class DockerRuntime:
    """Runs jobs on one engine with one image; several at once if called from several threads.

    keep: if this process dies, the container may go on and a later `resume` fetches its result; otherwise the next
    run removes it.
    """

    name = "docker"

    def __init__(self, engine: Engine, image: ImageInfo, limits: Limits | None = None, keep: bool = False):
        self.engine = engine
        self.image = image
        self.limits = limits or Limits()
        self.keep = keep

    def describe(self) -> str:
        return f"The network runs in a container: {self.engine.describe()} holds the {self.image.describe()}."

    def run(self, job: JobFolder, emit: Emit, cancel: CancelToken) -> Path:
        """As the protocol says (base.Runtime). The container is removed whatever happens."""
        containers.remove_orphans(self.engine)
        if self.engine.endpoint.unencrypted:
            emit(Event("warning", message=f"The CT goes unencrypted to {self.engine.endpoint.url}: set up TLS or ssh."))
        deadline = Deadline(self.limits.timeout_s)
        containers.remember(self.engine, job.id, self.keep)
        creation = Worker(lambda: containers.create(self.engine, self.image, job.id, job.image.name, self.limits))
        try:
            self._step("Creating the container", creation, cancel, deadline)
            self._upload(job, emit, cancel, deadline)
            start = Worker(lambda: self.engine.client.start(containers.container_name(job.id)))
            self._step("Starting the container", start, cancel, deadline)
            return self._finish(job, emit, cancel, deadline)
        finally:
            creation.outcome(CREATION_S)  # one that was given up could still come true
            self._remove(job.id, emit)

    def resume(self, job: JobFolder, emit: Emit, cancel: CancelToken) -> Path:
        """Fetch the result of a container that went on without its client, waiting for it where needed.

        `job.id` is one of containers.find_jobs(); `job.image` is only used by the thesis's image.
        """
        containers.remember(self.engine, job.id, self.keep)
        try:
            return self._finish(job, emit, cancel, Deadline(self.limits.timeout_s))
        finally:
            self._remove(job.id, emit)

    def _step(self, doing: str, worker: Worker, cancel: CancelToken, deadline: Deadline) -> Any:
        try:
            return worker.result(cancel, deadline)
        except HNSegmenterError:
            raise
        except Exception as error:
            raise self.engine.fault(error, doing) from error

    def _upload(self, job: JobFolder, emit: Emit, cancel: CancelToken, deadline: Deadline) -> None:
        thesis_image = self.image.contract == THESIS
        data = PurePosixPath(self.image.data)
        target, folder = (data.parent, data.name) if thesis_image else (data, "")
        tell = _told(emit, "upload", 0.0, UPLOADED)
        owner = self.image.user.split(":")[0]
        archive = transfer.file_in_tar(job.image, folder, int(owner) if owner.isdigit() else 0, tell, cancel)
        if self.engine.endpoint.remote and job.image.suffix != ".gz":
            archive = transfer.compressed(archive)
        name = containers.container_name(job.id)
        worker = Worker(lambda: self.engine.client.put_archive(name, str(target), archive))
        self._step("Uploading the CT", worker, cancel, deadline)

    def _finish(self, job: JobFolder, emit: Emit, cancel: CancelToken, deadline: Deadline) -> Path:
        watch = Watch(self.engine, job.id, self.limits, _scaled(emit), cancel, deadline)
        if self.image.contract == THESIS:
            emit(Event("progress", stage="network", message="The thesis's image tells no progress."))
        state = watch.follow()
        check_end(state, watch, lambda: last_stderr_line(self.engine, job.id))
        return self._download(job, emit, cancel, deadline, state)

    def _download(self, job: JobFolder, emit: Emit, cancel: CancelToken, deadline: Deadline, state: dict) -> Path:
        emit(Event("progress", stage="download", fraction=COMPUTED))
        part = job.path / "results.part"
        shutil.rmtree(part, ignore_errors=True)
        worker = Worker(lambda: self._fetch(job.id, part, cancel))
        try:
            self._step("Downloading the results", worker, cancel, deadline)
            if self.image.contract == THESIS:
                thesis_image.complete(part, job.image, self.image, _seconds(state))
            check_results(part)
            with transfer.disk_faults():
                shutil.rmtree(job.results, ignore_errors=True)
                part.replace(job.results)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        emit(Event("progress", stage="download", fraction=1.0))
        return job.results

    def _fetch(self, job_id: str, folder: Path, cancel: CancelToken) -> None:
        with transfer.disk_faults():
            folder.mkdir(mode=0o700)
        chunks, _ = self.engine.client.get_archive(containers.container_name(job_id), self.image.results)
        try:
            transfer.extract_results(chunks, folder, cancel)
        finally:
            self.engine.client.hang_up()

    def _remove(self, job_id: str, emit: Emit) -> None:
        removal = Worker(lambda: containers.remove(self.engine, job_id))
        if removal.outcome(REMOVAL_S):
            containers.forget(job_id)
            return
        containers.release(self.engine, job_id)
        emit(
            Event(
                "warning",
                message=f"The container {containers.container_name(job_id)} could not be removed, because the engine "
                "does not answer: the next run removes it.",
            )
        )


def check_results(folder: Path) -> None:
    """Raises RuntimeFault unless result.json is there, of our contract, and every labelmap that it names too."""
    for organ in Result.read(folder / "result.json").organs:
        if organ.file is not None and not (Path(organ.file).name == organ.file and (folder / organ.file).is_file()):
            raise RuntimeFault(
                f"The container names a labelmap of {organ.name} and did not write "
                "it: the image does not keep its contract."
            )


def _told(emit: Emit, stage: str, begin: float, end: float) -> Callable[[float], None]:
    return lambda fraction: emit(Event("progress", stage=stage, fraction=round(begin + (end - begin) * fraction, 4)))


def _scaled(emit: Emit) -> Emit:
    """The container's fractions, 0..1 of its own work, on the run's bar."""

    def scaled(event: Event) -> None:
        if event.kind == "progress" and isinstance(event.fraction, (int, float)):
            fraction = UPLOADED + (COMPUTED - UPLOADED) * min(max(event.fraction, 0.0), 1.0)
            event = Event("progress", event.stage, round(fraction, 4), event.message)
        emit(event)

    return scaled


def _seconds(state: dict) -> float:
    """How long the container ran, from the engine's own clock."""

    def moment(text: str) -> float:
        return datetime.fromisoformat(text[:19]).timestamp()  # whole seconds; the rest differs between engines

    return max(moment(state["FinishedAt"]) - moment(state["StartedAt"]), 0.0)
