"""Everything in one call, for scripts: it waits until the network is done.

In the window the widget does the same steps without waiting (QProcess).
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import Cancelled, HNSegmenterError, RuntimeFault, UnusableInput, WrongUsage
from ..events import Emit, Event, ignore
from .handover import HandOver, last_words, parse_line, python_executable
from .loading import load
from .results import show_results
from .saving.export import Saved, export_rtstruct

if TYPE_CHECKING:
    from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode

_FAULTS: dict[int | None, type[HNSegmenterError]] = {
    fault.exit_code: fault for fault in (HNSegmenterError, UnusableInput, WrongUsage)
}


def segment(
    volume: vtkMRMLScalarVolumeNode,
    runtime: str | None = None,
    image: str | None = None,
    replace: vtkMRMLSegmentationNode | None = None,
    emit: Emit = ignore,
    models: Sequence[str] = (),
) -> vtkMRMLSegmentationNode:
    """Segment a volume of the scene, wait, and return the segmentation beside it.

    runtime, image, models: as on the command line, None or none as the settings say. replace: an earlier, untouched
    result that goes.
    Raises as the child did: UnusableInput, WrongUsage, RuntimeFault; Cancelled.
    """
    job = HandOver.create(volume)
    for sentence in job.warnings:
        emit(Event("warning", message=sentence))
    try:
        _run(job, job.arguments(runtime, image, models=models), emit)
        return show_results(job.results, volume, replace)
    finally:
        job.remove()


def segment_and_save(
    path: Path,
    folder: Path,
    series_uid: str | None = None,
    runtime: str | None = None,
    emit: Emit = ignore,
    models: Sequence[str] = (),
    **options,
) -> Saved:
    """A CT folder in, folder/rtstruct.dcm out; options: as export_rtstruct's. Needs the application."""
    volume = load(path, series_uid, emit)
    return export_rtstruct(segment(volume, runtime, emit=emit, models=models), folder, volume, emit=emit, **options)


def _run(job: HandOver, arguments: list[str], emit: Emit) -> None:
    environment = {**os.environ, **job.environment()}
    error: dict | None = None
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as stderr:
        with subprocess.Popen(
            [python_executable(), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environment,
            encoding="utf-8",
            errors="replace",
        ) as process:
            job.started(process.pid)
            assert process.stdout is not None  # a pipe
            try:
                for line in process.stdout:
                    event = parse_line(line)
                    if event is None:
                        continue
                    if event["event"] == "error":
                        error = event
                    emit(Event(event["event"], event.get("stage"), event.get("fraction"), event.get("message")))
            except BaseException:
                _cancel(process)
                raise
        if error is not None:
            if error.get("exit") == Cancelled.exit_code:
                raise Cancelled
            raise _FAULTS.get(error.get("exit"), RuntimeFault)(str(error.get("message")))
        if process.returncode or not job.done:
            stderr.seek(0)
            raise RuntimeFault(last_words(stderr.read(), process.returncode))


def _cancel(process: subprocess.Popen) -> None:
    """Ask the child to stop, so that it removes its container, and wait for it."""
    assert process.stdin is not None and process.stdout is not None  # pipes
    try:
        process.stdin.write("cancel\n")
        process.stdin.close()
    except OSError:  # it ended by itself
        pass
    process.stdout.read()
    process.wait()
