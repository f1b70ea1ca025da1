"""A review as it lies on the node: an attachment of its series that is there whole, once, or not at all.

The attachment is a zip of review.json and, for an approval, reviewed.dcm: the finalised RTSTRUCT, whose SOP Instance
UID was made when it was put, and stays. corrections.json, where it could be measured, says how much was corrected.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict, dataclass, field
from io import BytesIO

from ..node.client import REVIEW, Node

APPROVE, REJECT = "approve", "reject"
RECORD, REVIEWED_SET, CORRECTIONS = "review.json", "reviewed.dcm", "corrections.json"


@dataclass(frozen=True)
class Review:
    """A decision. time: ISO with zone; destinations: names, () for all that are not automatic; source: SHA-256 of the
    file that was approved, sop_instance_uid: of the finalised set made of it, both "" for a rejection."""

    uuid: str
    job: str
    decision: str
    reviewer: str
    time: str
    reason: str = ""
    destinations: tuple[str, ...] = field(default=())
    sop_instance_uid: str = ""
    source: str = ""

    def same_as(self, other: Review) -> bool:
        """Whether it is the same decision once more: a repeat after a crash."""
        keys = ("job", "decision", "reviewer", "reason", "destinations", "source")
        return all(getattr(self, key) == getattr(other, key) for key in keys)


def read(node: Node, series: str, job: str) -> Review | None:
    """The review of that job; None if there is none, or only one of another job. Raises NodeFault."""
    content = node.attachment(series, REVIEW)
    review = parsed(content) if content else None
    return review if review and review.job == job else None


def reviewed_set(node: Node, series: str, job: str) -> bytes | None:
    """The finalised RTSTRUCT of that job's approval, as a DICOM file. Raises NodeFault."""
    content = node.attachment(series, REVIEW)
    if not content:
        return None
    review = parsed(content)
    if review is None or review.job != job or review.decision != APPROVE:
        return None
    with zipfile.ZipFile(BytesIO(content)) as archive:
        return archive.read(REVIEWED_SET)


def corrections(node: Node, series: str, job: str) -> dict | None:
    """How much that job's approval corrected (correcting.record); None where nobody measured it. Raises NodeFault."""
    content = node.attachment(series, REVIEW)
    review = parsed(content) if content else None
    if not content or review is None or review.job != job:
        return None
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            values = json.loads(archive.read(CORRECTIONS))
    except (zipfile.BadZipFile, KeyError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def packed(review: Review, reviewed: bytes | None, corrected: dict | None = None) -> bytes:
    """The attachment; reviewed: the finalised RTSTRUCT of an approval; corrected: what correcting.record told."""
    content = BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(RECORD, json.dumps(asdict(review), ensure_ascii=False, indent=2))
        if reviewed is not None:
            archive.writestr(REVIEWED_SET, reviewed)
        if corrected is not None:
            archive.writestr(CORRECTIONS, json.dumps(corrected, indent=2))
    return content.getvalue()


def parsed(content: bytes) -> Review | None:
    """None if it is no review: such an attachment counts as none."""
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            values = json.loads(archive.read(RECORD))
            review = Review(**{**values, "destinations": tuple(values["destinations"])})
            whole = review.decision == REJECT or REVIEWED_SET in archive.namelist()
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError):
        return None
    return review if whole and review.decision in (APPROVE, REJECT) else None
