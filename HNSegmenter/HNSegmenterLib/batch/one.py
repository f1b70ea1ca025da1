"""One series contoured: judged, run through the same pipeline as `segment`, completed with what the lists tell."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..dicom.choose import problem
from ..dicom.find import Inventory, inventory_of
from ..errors import Cancelled, HNSegmenterError, RuntimeFault, UnusableInput
from ..events import CancelToken, Emit
from ..grids import bounding_box
from ..job import Job
from ..overview import draw_thumbnail
from ..pipeline import Inspected, segment
from ..rtstruct.names import NameTable
from ..runtimes.base import Runtime
from ..service.settings import Rules
from ..service.table.interface import digest_of
from ..service.worker.body_region import unlikely
from ..service.worker.rules import too_small, unchosen
from ..silent_libraries import quiet
from .find import Candidate
from .neutral import link, neutral
from .results import RECORD, THUMBNAIL, Made, record

DONE, LEFT_OUT, FAILED, CANCELLED = "done", "left out", "failed", "cancelled"
CHANGED = "Its files have changed since they were found: start again when nobody writes into the folder any more."


@dataclass(frozen=True)
class Task:
    """staged: a folder to be made, for the results."""

    candidate: Candidate
    staged: Path
    made: Made
    rules: Rules
    names: NameTable | None = None


@dataclass(frozen=True)
class Answer:
    """What became of a task: DONE, LEFT_OUT (no planning CT), FAILED or CANCELLED; reason: a neutral sentence.

    again: the fault may not be the series', so that another try is worth while."""

    state: str
    reason: str = ""
    again: bool = False


def contour(task: Task, runtime: Runtime, emit: Emit, cancel: CancelToken) -> Answer:
    """Never raises. task.staged is there and complete if the answer is DONE, else it is not there."""
    answer = _contour(task, runtime, emit, cancel)
    if answer.state != DONE:
        shutil.rmtree(task.staged, ignore_errors=True)
    return answer


def _contour(task: Task, runtime: Runtime, emit: Emit, cancel: CancelToken) -> Answer:
    try:
        with Job(cancel=cancel) as job:
            return _in_folder(task, job.path / "ct", runtime, emit, cancel)
    except Cancelled:
        return Answer(CANCELLED)
    except HNSegmenterError as fault:
        return Answer(FAILED, fault.sentence)
    except OSError as fault:
        return Answer(FAILED, f"The files could not be read or written ({fault.strerror}).")
    except Exception as fault:  # noqa: BLE001 - a bug: what it says may quote the patient
        return Answer(FAILED, f"An unforeseen fault ({type(fault).__name__}).", again=True)


def _in_folder(task: Task, folder: Path, runtime: Runtime, emit: Emit, cancel: CancelToken) -> Answer:
    """folder: to be made, for links to the files. Raises Cancelled, HNSegmenterError of the folder, OSError."""
    candidate = task.candidate
    links = link([*candidate.files, *candidate.beside], folder)
    inventory = inventory_of(links, folder, cancel=cancel)
    sop_uids = {
        header.path.name: header.text("SOPInstanceUID") for series in inventory.series for header in series.headers
    }
    try:
        if reason := _judge(inventory, task):
            return Answer(LEFT_OUT, neutral(reason, folder, sop_uids))
        segment(
            folder, task.staged, runtime, series_uid=candidate.series_uid, names=task.names, emit=emit, cancel=cancel,
            inventory=inventory, inspect=partial(_complete, task),
        )  # fmt: skip
    except Cancelled:
        raise
    except HNSegmenterError as fault:
        return Answer(FAILED, neutral(fault.sentence, folder, sop_uids), again=isinstance(fault, RuntimeFault))
    return Answer(DONE)


@quiet()
def _judge(inventory: Inventory, task: Task) -> str:
    """Why the series is no planning CT to be contoured, "" if it is one. Raises UnusableInput for a damaged one."""
    series = inventory.find(task.candidate.series_uid)
    if series is None or digest_of(h.text("SOPInstanceUID") for h in series.headers) != task.candidate.sop_digest:
        raise UnusableInput(CHANGED)
    if reason := problem(series):
        return f"The series {reason}."
    return unchosen(series, task.rules) or too_small(series, task.rules)


def _complete(task: Task, inspected: Inspected) -> None:
    """Add to the results what the lists tell: digests, HU, a thumbnail, and whether it looks like a head at all."""
    result = inspected.result
    hu = {name: hu_of(inspected.image, labelmap) for name, labelmap in inspected.labelmaps.items()}
    result.input[RECORD] = {**record(task.candidate, task.made), "hu": hu}
    if (said := unlikely(result.organs, result.warnings)) and said not in result.warnings:
        result.warnings.insert(0, said)
    draw_thumbnail(inspected.image, inspected.labelmaps, result.organs, task.staged / THUMBNAIL)


def hu_of(image: sitk.Image, labelmap: sitk.Image) -> dict[str, float]:
    """Mean and standard deviation (of all voxels, not of a sample) of the CT's HU within a labelmap of 0 and 1."""
    voxels = sitk.GetArrayViewFromImage(labelmap)
    box = bounding_box(voxels)
    if box is None:
        return {}
    values = sitk.GetArrayViewFromImage(image)[box][voxels[box] != 0]
    return {"mean": round(float(np.mean(values)), 2), "sd": round(float(np.std(values)), 2)}
