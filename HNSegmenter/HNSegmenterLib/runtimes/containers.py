"""Our containers: made hardened, named and labelled by the job's random id, always removed again.

A record in the jobs folder says which process of which computer a container belongs to, so that a later client can tell
a job that goes on from one that nobody waits for, and remove what an engine that stopped half-way left behind.
"""

from __future__ import annotations

import json
import os
import platform
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import docker.errors
from docker.types import LogConfig
from docker.utils import parse_bytes

from ..errors import WrongUsage
from ..processes import alive
from ..result import write_json
from ..settings import jobs_folder
from .engine import Engine
from .images import LABEL, THESIS, ImageInfo
from .transfer import disk_faults

JOB_LABEL = LABEL + "job"
CONTRACT_LABEL = LABEL + "contract"
PREFIX = "hn-segmenter-"
REMOVAL_TRIES = 4
NOBODY = 0


@dataclass(frozen=True)
class Limits:
    """memory: as Docker writes it ("3g"), swap included; pids: processes and threads; cpus: None for all."""

    memory: str = "3g"
    pids: int = 256
    cpus: float | None = None
    timeout_s: float = 1800.0

    @property
    def memory_bytes(self) -> int:
        """Raises WrongUsage if memory is no amount of it."""
        try:
            return parse_bytes(self.memory)
        except docker.errors.DockerException as error:
            raise WrongUsage(f"{self.memory!r} is no amount of memory: write for example 3g or 1500m.") from error


def container_name(job_id: str) -> str:
    return PREFIX + job_id


def create(engine: Engine, image: ImageInfo, job_id: str, input_name: str, limits: Limits) -> None:
    """Create, not start, the container of a job; raises docker-py's and requests' errors."""
    thesis = image.contract == THESIS
    command = ["--path", f"{image.data}/{input_name}"]
    if not thesis:
        command += ["--output", image.results]
    memory = limits.memory_bytes
    host = engine.client.create_host_config(
        network_mode="none",
        cap_drop=["ALL"],
        # The thesis's program runs as root in another user's home folder.
        cap_add=["DAC_OVERRIDE"] if thesis else None,
        security_opt=["no-new-privileges"],
        read_only=not thesis,
        tmpfs={"/tmp": "rw,nosuid,nodev,size=256m"},
        mem_limit=memory,
        memswap_limit=memory,
        pids_limit=limits.pids,
        nano_cpus=round(limits.cpus * 1e9) if limits.cpus else None,
        # Progress is read from the log, whatever log driver the engine's administrator chose.
        log_config=LogConfig(type=LogConfig.types.JSON, config={"max-size": "10m"}),
    )
    engine.client.create_container(
        image.id,
        command,
        name=container_name(job_id),
        labels={JOB_LABEL: job_id, CONTRACT_LABEL: image.contract},
        host_config=host,
    )


def inspect(engine: Engine, job_id: str) -> dict | None:
    """As `docker inspect`; None if the container is not there."""
    try:
        return engine.client.inspect_container(container_name(job_id))
    except docker.errors.NotFound:
        return None


def remove(engine: Engine, job_id: str) -> bool:
    """Kill and remove the container with its volumes; True once it is gone, False if the engine does not answer.

    An engine that restarts is waited for a few seconds.
    """
    for attempt in range(REMOVAL_TRIES):
        try:
            engine.client.remove_container(container_name(job_id), v=True, force=True)
            return True
        except docker.errors.NotFound:
            return True
        except Exception:  # noqa: BLE001 - a removal already under way (409), an engine that restarts, a connection lost
            time.sleep(0.5 * attempt)
    return False


@dataclass(frozen=True)
class LeftContainer:
    """A container of ours on an engine. state: Docker's (created, running, exited ...); ours: this user's client
    made it; in_use: by a process that lives, or that another computer with the same home folder can tell;
    keep: someone means to fetch its result."""

    job_id: str
    state: str
    exit_code: int
    ours: bool
    in_use: bool
    keep: bool


def find_jobs(engine: Engine) -> list[LeftContainer]:
    """All containers with our job label on the engine, newest first."""
    try:
        listed = engine.client.containers(all=True, filters={"label": JOB_LABEL})
        found = [(item["Labels"][JOB_LABEL], inspect(engine, item["Labels"][JOB_LABEL])) for item in listed]
    except Exception as error:
        raise engine.fault(error, "Looking for containers of earlier jobs") from error
    left = []
    for job_id, about in found:
        if about is None:
            continue
        record = read_record(job_id)
        left.append(
            LeftContainer(
                job_id=job_id,
                state=about["State"]["Status"],
                exit_code=about["State"]["ExitCode"],
                ours=record is not None,
                in_use=record is not None and _in_use(record),
                keep=record is not None and record["keep"],
            )
        )
    return left


def remove_orphans(engine: Engine) -> list[str]:
    """Remove our containers that no living process waits for and nobody asked to keep; return their job ids.

    Other computers' and users' containers on a shared engine have no record here and stay. Records whose container
    is gone are removed too.
    """
    records = list_records()
    if not records:
        return []
    left = {item.job_id: item for item in find_jobs(engine)}
    removed = []
    for job_id in records:
        record = read_record(job_id)
        if record is None or _in_use(record):
            continue
        if job_id not in left:
            if record["engine"] == engine.endpoint.url:  # else it may be on another engine
                forget(job_id)
        elif not record["keep"] and remove(engine, job_id):
            forget(job_id)
            removed.append(job_id)
    return removed


def _records_folder() -> Path:
    return jobs_folder() / "containers"


def remember(engine: Engine, job_id: str, keep: bool) -> None:
    """Write down, before the container is made, that this process makes it on that engine."""
    _write_record(engine, job_id, os.getpid(), keep)


def release(engine: Engine, job_id: str) -> None:
    """Nobody waits for this container any more, and it could not be removed: remove_orphans will."""
    _write_record(engine, job_id, NOBODY, keep=False)


def _write_record(engine: Engine, job_id: str, pid: int, keep: bool) -> None:
    folder = _records_folder()
    with disk_faults():
        folder.mkdir(parents=True, exist_ok=True)
        values = {"engine": engine.endpoint.url, "host": platform.node(), "pid": pid, "keep": keep}
        write_json(folder / f"{job_id}.json", values)


def _in_use(record: dict) -> bool:
    """Only the computer of a process can tell whether it lives: until it does, the process counts as alive."""
    return record["pid"] != NOBODY and (record["host"] != platform.node() or alive(record["pid"]))


def forget(job_id: str) -> None:
    folder = _records_folder()
    (folder / f"{job_id}.json").unlink(missing_ok=True)
    with suppress(OSError):  # other jobs' records, or already gone
        folder.rmdir()


def list_records() -> list[str]:
    return sorted(path.stem for path in _records_folder().glob("*.json"))


def read_record(job_id: str) -> dict | None:
    try:
        record = json.loads((_records_folder() / f"{job_id}.json").read_text(encoding="utf-8"))
        engine, host = str(record["engine"]), str(record["host"])
        return {"engine": engine, "host": host, "pid": int(record["pid"]), "keep": bool(record["keep"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None
