"""A worker: it watches the node, segments, delivers, until it is told to stop."""

from __future__ import annotations

import json
import logging
import os
import platform
import shutil
import sys
from collections.abc import Callable

from ...errors import HNSegmenterError
from ...events import CancelToken
from ...runtimes import choose
from ...settings import jobs_folder
from ..settings import ServiceSettings
from ..table.interface import Delivery, Job
from .context import LOG, Service
from .segmenting import model_digest, segment_job
from .sending import deliver
from .tasks import Queues
from .watch import Watch


def serve(settings: ServiceSettings, stopping: CancelToken, say: Callable[[str], None]) -> None:
    """Run a worker until `stopping` is cancelled; in the main thread, for huey's sake.

    Raises WrongUsage, RuntimeFault, EngineFault, NodeFault or TableFault if it cannot begin. A node that is not there
    yet is waited for.
    """
    start_log()
    runtime = choose(settings.worker.runtime, models=settings.worker.model)
    service = Service.open(settings)
    service.runtime, service.model, service.stopping = runtime, model_digest(runtime), stopping
    remove_own_remains()
    queues = Queues(settings)
    try:
        queues.consume({Job: _kept(segment_job, service), Delivery: _kept(deliver, service)})
        say(runtime.describe())
        LOG.info("model %s: %s", service.model, runtime.describe())
        say(f"Serving the node at {settings.node.url}. Stop with Ctrl-C.")
        Watch(service, queues).run()
    finally:
        stopping.cancel()
        queues.stop()
        service.close()


def start_log() -> None:
    """The worker's log goes to stderr, for the journal or the container's log;
    it names jobs and series, never patients."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    LOG.propagate = False


def remove_own_remains() -> None:
    """Remove job folders of an earlier process with our number: in a container every worker has the same one."""
    for folder in jobs_folder().glob("*"):
        try:
            state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if state.get("host") == platform.node() and state.get("pid") == os.getpid():
            shutil.rmtree(folder, ignore_errors=True)


def _kept(step: Callable[[Service, str], None], service: Service) -> Callable[[str], None]:
    """The step as a task. A table that cannot be written leaves the row as it is:
    its lease ends, and it is put back."""

    def task(key: str) -> None:
        try:
            step(service, key)
        except HNSegmenterError as fault:
            LOG.warning("%s", fault.sentence)

    return task
