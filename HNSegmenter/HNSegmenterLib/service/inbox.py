"""The inbox: which patients wait on the node, and their CT and results as files."""

from __future__ import annotations

import re
import uuid
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import HNSegmenterError, UnusableInput, WrongUsage
from ..events import CancelToken, Emit, Event, ignore
from ..staging import move_in, staging
from . import ids
from .node import JOB, RESULTS, REVIEW, Node, NotThere
from .review_record import parsed

if TYPE_CHECKING:
    from ..dicom import PlanningCT

CT, RESULTS_FOLDER, RTSTRUCT = "ct", "results", "rtstruct.dcm"
_AT_ONCE = 8  # requests in flight while listing
_WHOLE_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}")  # of Orthanc


def patients(node: Node) -> list[dict]:
    """One row for each series that the worker has a job for, newest first. For the screen: rows hold names.

    Row: series (Orthanc's id), series_uid, patient_name, patient_id, study_date, description, received (ISO, UTC), job,
    state, reason, warnings, organs, destinations, deliveries.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        rows = [row for row in pool.map(lambda series: _row(node, series), node.all_series()) if row]
    return sorted(rows, key=lambda row: row["received"], reverse=True)


def series_named(node: Node, typed: str) -> str:
    """Orthanc's id of a series, of which its beginning or the Series Instance UID was typed.

    Raises UnusableInput where the node has none, WrongUsage where several begin so.
    """
    if _WHOLE_ID.fullmatch(typed):
        return typed
    uid = node.find_series(typed) if "." in typed else None
    found = [uid] if uid else ids.meant(typed.lower(), node.all_series())
    if not found:
        raise UnusableInput(f"The node has no series {typed}: choose one of  hn-segmenter inbox list.")
    if len(found) > 1:
        raise WrongUsage(f"{len(found)} series have an id that begins with {typed}: choose one of {ids.listed(found)}.")
    return found[0]


def patient(node: Node, series: str) -> dict:
    """The row of one series. Raises UnusableInput where the worker has none."""
    row = _row(node, series)
    if row is None:
        raise UnusableInput("The node has no such series in the inbox: choose one of  hn-segmenter inbox list.")
    return row


def _row(node: Node, series: str) -> dict | None:
    try:
        names = node.attachments(series)
        if JOB not in names or (record := node.attached_json(series, JOB)) is None:
            return None
        about, study = node.series(series), node.study_of(series)
        late = _late_review(node, series, record) if REVIEW in names else []
    except NotThere:  # deleted while we looked
        return None
    tags, patient_tags = about["MainDicomTags"], study["PatientMainDicomTags"]
    return {
        "series": series,
        "series_uid": tags.get("SeriesInstanceUID", ""),
        "patient_name": patient_tags.get("PatientName", ""),
        "patient_id": patient_tags.get("PatientID", ""),
        "study_date": study["MainDicomTags"].get("StudyDate", ""),
        "description": tags.get("SeriesDescription", ""),
        "received": _iso(about.get("LastUpdate", "")),
        "job": record.get("job", ""),
        "state": record.get("state", ""),
        "reason": record.get("reason", ""),
        "warnings": [*late, *(record.get("warnings") or [])],
        "organs": record.get("organs") or [],
        "destinations": record.get("destinations") or [],
        "deliveries": record.get("deliveries") or [],
    }


def _late_review(node: Node, series: str, record: dict) -> list[str]:
    """A review of an earlier state of a series that grew: whoever made it must know."""
    content = node.attachment(series, REVIEW)
    earlier = parsed(content) if content else None
    if earlier is None or earlier.job == record.get("job"):
        return []
    return [f"The review by {earlier.reviewer} was of an earlier result, before the series changed: review this one."]


def _iso(orthanc: str) -> str:
    """Orthanc's 20261123T184500 (UTC) as ISO 8601; "" if it is none."""
    try:
        return datetime.strptime(orthanc, "%Y%m%dT%H%M%S").replace(tzinfo=UTC).isoformat()
    except ValueError:
        return ""


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
    from ..dicom import read_planning_ct

    uid = node.series(series)["MainDicomTags"]["SeriesInstanceUID"]
    if folder is None:
        download(node, series, work / CT, emit, cancel or CancelToken())
        return read_planning_ct(work / CT, series_uid=uid, cancel=cancel)
    ct = read_planning_ct(folder, series_uid=uid, cancel=cancel)
    there = set(node.sop_instance_uids(series))
    if not {slice_.sop_instance_uid for slice_ in ct.slices} <= there:
        raise UnusableInput("The CT's files are not those on the node: fetch the patient again.")
    return ct
