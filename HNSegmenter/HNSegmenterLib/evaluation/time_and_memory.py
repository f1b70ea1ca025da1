"""Time and memory of a whole run, taken from outside: a fresh process, its tree, and its container's cgroup."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import Cancelled, HNSegmenterError

SAMPLE_EVERY_S = 0.05


@dataclass
class Measured:
    """One run: seconds since the start of its process, memory in bytes.

    marks: stage or state -> when it began; peak_processes: highest sum of the proportional set sizes (PSS, Linux;
    elsewhere RSS) of the process tree; peak_containers: highest memory.peak of the containers that appeared meanwhile,
    page cache included, if the network ran in one.
    """

    wall_s: float = 0.0
    marks: dict[str, float] = field(default_factory=dict)
    result: dict = field(default_factory=dict)
    peak_processes: int = 0
    peak_containers: int = 0

    @property
    def peak(self) -> int:
        return self.peak_processes + self.peak_containers


def drop_caches() -> bool:
    """Empty the system's page cache, so that the next run is as cold as the first of the day; False if not allowed."""
    try:
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError:
        return False
    return True


def run_measured(command: list[str]) -> Measured:
    """Run a command that prints JSON events, and watch it.
    Raises HNSegmenterError with its own sentence if it fails."""
    measured = Measured()
    known = set(_container_cgroups())
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, encoding="utf-8")
    watcher = threading.Thread(target=_watch, args=(process, measured, known), daemon=True)
    watcher.start()
    error = ""
    assert process.stdout is not None  # a pipe
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] in ("state", "progress") and event.get("stage"):
            measured.marks.setdefault(event["stage"], time.perf_counter() - begin)
        elif event["event"] == "result":
            measured.result = event
        elif event["event"] == "error":
            error = event["message"]
    process.wait()
    measured.wall_s = time.perf_counter() - begin
    watcher.join()
    if process.returncode == Cancelled.exit_code:
        raise Cancelled
    if process.returncode:
        raise HNSegmenterError(error or f"The measured command ended with code {process.returncode}.")
    return measured


def _watch(process: subprocess.Popen, measured: Measured, known: set[Path]) -> None:
    import psutil

    parent = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            tree = [parent, *parent.children(recursive=True)]
            measured.peak_processes = max(measured.peak_processes, sum(_memory(one) for one in tree))
        except psutil.Error:
            pass
        for group in _container_cgroups() - known if "upload" in measured.marks else ():
            measured.peak_containers = max(measured.peak_containers, _peak_of(group))
        time.sleep(SAMPLE_EVERY_S)


def _memory(process) -> int:
    import psutil

    try:
        full = process.memory_full_info()
        return getattr(full, "pss", full.rss)
    except psutil.Error:
        return 0


def _container_cgroups() -> set[Path]:
    """cgroup folders of Docker's containers on this machine (versions 1 and 2, cgroupfs and systemd drivers)."""
    root = Path("/sys/fs/cgroup")
    places = ("docker/*", "memory/docker/*", "system.slice/docker-*.scope", "memory/system.slice/docker-*.scope")
    return {path for place in places for path in root.glob(place) if path.is_dir()}


def _peak_of(group: Path) -> int:
    for name in ("memory.peak", "memory.max_usage_in_bytes"):
        try:
            return int((group / name).read_text())
        except (OSError, ValueError):
            continue
    return 0
