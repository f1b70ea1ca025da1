"""The inbox: which patients wait on the node."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from ...errors import UnusableInput, WrongUsage
from .. import ids
from ..node.client import JOB, REVIEW, Node, NotThere
from .review_record import parsed

_AT_ONCE = 8  # requests in flight while listing
_WHOLE_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}")  # of Orthanc


def patients(node: Node) -> list[dict]:
    """One row for each series that the worker has a job for, newest first. For the screen: rows hold names.

    Row: series (Orthanc's id), series_uid, patient_name, patient_id, study_date, description, received (ISO, UTC), job,
    state, reason, warnings, organs, corrections (None before an approval), destinations, deliveries.
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
        "corrections": record.get("corrections"),
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
