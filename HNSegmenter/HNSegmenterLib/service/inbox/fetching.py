"""A patient of the inbox as files: the CT and the results, fetched from the node."""

from __future__ import annotations

import uuid
import zipfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import HNSegmenterError, UnusableInput, WrongUsage
from ...events import CancelToken, Emit, Event, ignore
from ...staging import move_in, staging
from ..node.client import RESULTS, Node
from .listing import patient

if TYPE_CHECKING:
    from ...dicom import PlanningCT

CT, RESULTS_FOLDER, RTSTRUCT = "ct", "results", "rtstruct.dcm"


def fetch(node: Node, series: str, out: Path, emit: Emit = ignore, cancel: CancelToken | None = None) -> dict:
    """Write out/ct/0001.dcm... and, if there is a result, out/results/; all of it or, on a failure, nothing.

    Returns {"ct", "results" (None without a result), "patient": the row}. Raises WrongUsage (out is in use), NodeFault,
    Cancelled, HNSegmenterError (disk full, or the result was replaced meanwhile).
    """
    cancel, out = cancel or CancelToken(), Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise WrongUsage(f"{out} is not empty: give a new folder for the patient.")
    row = patient(node, series)
    with staging(out, uuid.uuid4().hex, "patient") as staged:
        staged.chmod(0o700)
        download(node, series, staged / CT, emit, cancel)
        results = node.attachment(series, RESULTS)
        if results is not None:
            _unzip(results, staged / RESULTS_FOLDER)
        if patient(node, series)["job"] != row["job"]:
            raise HNSegmenterError("The series was segmented anew while it was fetched: open it again.")
        out.chmod(0o700)
        move_in(staged, out, [CT, RESULTS_FOLDER])
    return {"ct": str(out / CT), "results": str(out / RESULTS_FOLDER) if results is not None else None, "patient": row}


def download(node: Node, series: str, folder: Path, emit: Emit, cancel: CancelToken) -> None:
    """All instances into a new folder of this user alone, named by number: file names tell nothing."""
    folder.mkdir(mode=0o700)
    instances = node.series(series)["Instances"]
    for number, instance in enumerate(instances, start=1):
        cancel.raise_if_cancelled()
        (folder / f"{number:04d}.dcm").write_bytes(node.download(instance))
        emit(Event("progress", "download", number / len(instances)))


def _unzip(content: bytes, folder: Path) -> None:
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            archive.extractall(folder)  # which leaves out drives, roots and ".." of names
    except (zipfile.BadZipFile, EOFError) as error:
        raise HNSegmenterError("The result on the node is damaged: have the series segmented again.") from error


def unpack_results(node: Node, series: str, folder: Path) -> None:
    """The files of the result into a folder of this user alone. Raises UnusableInput where there is none, NodeFault."""
    content = node.attachment(series, RESULTS)
    if content is None:
        raise UnusableInput("This series has no result on the node.")
    _unzip(content, folder)


def results_part(node: Node, series: str, name: str) -> bytes:
    """One file of the result, such as result.json. Raises UnusableInput where there is none, NodeFault."""
    content = node.attachment(series, RESULTS)
    if content is None:
        raise UnusableInput("This series has no result on the node.")
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            return archive.read(name)
    except (zipfile.BadZipFile, KeyError) as error:
        raise UnusableInput("The result on the node is damaged: have the series segmented again.") from error


def planning_ct(
    node: Node, series: str, folder: Path | None, work: Path, emit: Emit = ignore, cancel: CancelToken | None = None
) -> PlanningCT:
    """The CT of a series, from a folder that fetch wrote or, if None, from the node into the folder `work`.

    Raises UnusableInput where the folder holds another series than the node, or other slices.
    """
    from ...dicom import read_planning_ct

    uid = node.series(series)["MainDicomTags"]["SeriesInstanceUID"]
    if folder is None:
        download(node, series, work / CT, emit, cancel or CancelToken())
        return read_planning_ct(work / CT, series_uid=uid, cancel=cancel)
    ct = read_planning_ct(folder, series_uid=uid, cancel=cancel)
    there = set(node.sop_instance_uids(series))
    if not {slice_.sop_instance_uid for slice_ in ct.slices} <= there:
        raise UnusableInput("The CT's files are not those on the node: fetch the patient again.")
    return ct
