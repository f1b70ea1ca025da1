"""A batch from beginning to end: find, work, and keep the lists."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import UnusableInput
from ..events import CancelToken, Emit
from ..settings import jobs_folder
from .capacity import cores, jobs_that_fit
from .child import MakeRuntime
from .find import Found, find
from .lists import Entry
from .out_folder import prepare
from .watch import Watch, lists_of
from .work import Settings, Work


@dataclass(frozen=True)
class Ended:
    """What a batch left: all series that were found; how many were done before; jobs side by side."""

    entries: list[Entry]
    before: int
    jobs: int
    seconds: float

    def of(self, state: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.state == state]


def run(
    root: Path,
    settings: Settings,
    make_runtime: MakeRuntime,
    *,
    emit: Emit,
    say: Callable[[str], None],
    cancel: CancelToken,
) -> Ended:
    """Contour every planning CT below root into settings.out. settings.jobs of 0: as many as memory and cores allow.

    Raises UnusableInput (no CT at all), WrongUsage (OUT), TableFault, Cancelled once everything has been put in order,
    HNSegmenterError where the lists cannot be written.
    """
    begin = time.perf_counter()
    found = find(root, emit, cancel)
    if not found.candidates and not found.left_out:
        raise UnusableInput(
            f"No CT series below {root}: {found.files} files were looked at, {found.others} series are no CT. Give the "
            "folder that holds the patients' DICOM files."
        )
    settings = _settled(settings, found, prepare(settings.out, root))
    say(f"{len(found.candidates)} CT series in {found.files} files; {settings.jobs} at a time.")
    write = lists_of(root, settings.out, found)
    watch = Watch(len(found.candidates), write, emit)
    work = Work(found.candidates, settings, make_runtime)
    try:
        work.run(watch.look, say, cancel)
    finally:
        entries = write(work.answers())
    if settings.worker.queue == "sqlite":  # it has served: everything has an end, and OUT tells it
        shutil.rmtree(settings.worker.folder, ignore_errors=True)
    return Ended(entries, watch.before, settings.jobs, time.perf_counter() - begin)


def _settled(settings: Settings, found: Found, name: str) -> Settings:
    """With what depends on OUT and on what was found. Jobs side by side share the cores."""
    worker = replace(settings.worker, folder=jobs_folder() / f"batch-{name}")
    largest = max((one.voxels for one in found.candidates), default=0)
    jobs = max(1, min(settings.jobs or jobs_that_fit(largest), len(found.candidates)))
    os.environ.setdefault("HNSEG_THREADS", str(max(1, round(cores() / jobs))))
    return replace(settings, space=f"batch-{name}", worker=worker, jobs=jobs)
