"""Approving or rejecting a waiting result.

The node compares versions, so that of two reviewers one is first and the other is told. A crash before the review is
put leaves nothing; after it, the same again is answered with what is there. Where the structure set has to be changed,
the reviewer agrees to that first.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from ...errors import HNSegmenterError, UnusableInput, WrongUsage
from ...events import CancelToken, Emit, ignore
from ...job import Job as JobFolder
from ...result import Result
from ...rtstruct import SliceContour, placed
from ...rtstruct.tracing.contours import encode
from ..node.client import JOB, REVIEW, AlreadyThere, Node
from ..settings import ServiceSettings
from ..table.interface import State, digest_of
from . import correcting, fetching, finalising
from .review_record import APPROVE, REJECT, Review, packed, parsed, read

__all__ = ["Changes", "Late", "NotAgreed", "Review", "approve", "read", "reject"]


class Late(HNSegmenterError):
    """Somebody else decided first, or there is another result by now: nothing was changed."""


class NotAgreed(HNSegmenterError):
    """The structure set has to be changed to be approved, and the reviewer has not agreed: nothing was changed."""


@dataclass(frozen=True)
class Changes:
    """In what the set that would be sent differs from the one that was reviewed.

    sentences: for the reviewer; digest: of these and of every contour that would be sent, so that what was agreed to is
    known again.
    """

    sentences: tuple[str, ...]
    digest: str

    @classmethod
    def of(cls, sentences: Sequence[str], contours: Mapping[str, Sequence[SliceContour]]) -> Changes:
        """contours: ROI name -> those that would be sent."""
        outlines = {
            name: [(drawn.sop_instance_uid, encode(drawn.points).decode()) for drawn in there]
            for name, there in contours.items()
        }
        return cls(
            tuple(sentences),
            hashlib.sha256(json.dumps([list(sentences), outlines], sort_keys=True).encode()).hexdigest(),
        )


def nobody(_changes: Changes) -> bool:
    """An agree for callers who have nobody to ask."""
    return False


def approve(
    node: Node,
    settings: ServiceSettings,
    series: str,
    reviewer: str,
    rtstruct: Path,
    *,
    destinations: Sequence[str] = (),
    job: str | None = None,
    ct_folder: Path | None = None,
    agree: Callable[[Changes], bool] = nobody,
    emit: Emit = ignore,
    cancel: CancelToken | None = None,
) -> Review:
    """Hand a reviewed structure set to the worker, which sends it.

    series: Orthanc's id. job: the one that was reviewed, if known. ct_folder: the series' files as fetching.fetch left
    them, else they are read from the node. agree: asked only if the set has to be changed (contours left out, moved
    into a plane, taken as holes, ...); what it agrees to is what is sent. Raises Late; NotAgreed; WrongUsage,
    UnusableInput (not of this CT, say); NodeFault; Cancelled.
    """
    reviewer = finalising.check_reviewer(reviewer)
    if unknown := [name for name in destinations if name not in settings.destinations]:
        raise WrongUsage(
            f"{unknown[0]} is no destination of the configuration: choose from "
            f"{', '.join(settings.destinations) or 'none'}."
        )
    if not destinations and all(destination.automatic for destination in settings.destinations.values()):
        raise WrongUsage("No destination gets reviewed structure sets: add one to [destinations], or name one.")
    try:
        content = Path(rtstruct).read_bytes()
    except OSError as error:
        raise UnusableInput(
            f"{rtstruct} cannot be read ({error.strerror}): give the structure set that was reviewed."
        ) from error
    now = datetime.now().astimezone()
    made = Review(
        uuid=uuid.uuid4().hex,
        job=_reviewed_job(node, series, job),
        decision=APPROVE,
        reviewer=reviewer,
        time=now.isoformat(timespec="seconds"),
        destinations=tuple(destinations),
        source=hashlib.sha256(content).hexdigest(),
    )
    earlier, version = _earlier(node, series, made)
    if earlier:
        return earlier
    _require_waiting(node, series, made.job)
    drawn = finalising.read_rtstruct(content)
    result = Result.from_dict(json.loads(fetching.results_part(node, series, "result.json")))
    told: list[str] = []
    with JobFolder(cancel=cancel) as work:  # which the next job removes if this process is killed
        ct = fetching.planning_ct(node, series, ct_folder, work.path, emit, cancel)
        dataset = finalising.finalised(drawn, ct, result, reviewer, now, told.append)
        contours = placed(drawn, ct)
        content = finalising.to_bytes(dataset, work.path, contours)
        corrected = correcting.record(node, series, work.path / "drawn", ct, result, dataset, contours, now)
    if told and not agree(Changes.of(told, contours)):
        raise NotAgreed(
            "Not approved, nothing was sent: what is sent would differ from what was "
            "reviewed. Look at how, then agree by --yes."
        )
    made = replace(made, sop_instance_uid=str(dataset.SOPInstanceUID))
    return _put(node, series, made, version, packed(made, content, corrected))


def reject(node: Node, series: str, reviewer: str, reason: str, *, job: str | None = None) -> Review:
    """Say that a result is not to be used. Raises Late, WrongUsage, NodeFault."""
    reviewer, reason = finalising.check_reviewer(reviewer), " ".join(reason.split())
    if not reason:
        raise WrongUsage("The reason is missing: say in a few words why the result is rejected.")
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    made = Review(uuid.uuid4().hex, _reviewed_job(node, series, job), REJECT, reviewer, now, reason)
    earlier, version = _earlier(node, series, made)
    if earlier:
        return earlier
    _require_waiting(node, series, made.job)
    return _put(node, series, made, version, packed(made, None))


def _reviewed_job(node: Node, series: str, job: str | None) -> str:
    if not node.system().get("CheckRevisions"):
        raise UnusableInput(
            "The node lets one reviewer overwrite another: set CheckRevisions to "
            "true (hn-segmenter node configure writes it)."
        )
    record = node.attached_json(series, JOB)
    if record is None:
        raise UnusableInput("This series has no result to review: choose one of  hn-segmenter inbox list.")
    if job is not None and (not job or not str(record.get("job")).startswith(job)):
        raise Late("The series was segmented anew meanwhile, so this result is superseded: open it again.")
    return str(record.get("job"))


def _earlier(node: Node, series: str, made: Review) -> tuple[Review | None, str | None]:
    """The same decision if it was made before, and the version of a review of an older result, to be replaced."""
    found = node.versioned(series, REVIEW)
    if found is None:
        return None, None
    earlier = parsed(found[0])
    if earlier is None or earlier.job != made.job:
        return None, found[1]
    if made.same_as(earlier):
        return earlier, found[1]
    raise Late(_first(earlier))


def _first(review: Review) -> str:
    what = {APPROVE: "approved", REJECT: "rejected"}[review.decision]
    return (
        f"{review.reviewer} {what} this result first, {datetime.fromisoformat(review.time):%Y-%m-%d %H:%M}: "
        "nothing was changed."
    )


def _require_waiting(node: Node, series: str, job: str) -> None:
    """Raises Late unless that job waits for a review of the series as it is on the node now."""
    record = node.attached_json(series, JOB) or {}
    if record.get("job") != job:
        raise Late("The series was segmented anew meanwhile, so this result is superseded: open it again.")
    if record.get("state") != State.WAITING:
        raise Late(
            f"This result does not wait for a review, it is {record.get('state')}: see  hn-segmenter inbox list."
        )
    uids = node.sop_instance_uids(series)
    if record.get("sop_digest") and digest_of(uids) != record["sop_digest"]:
        raise Late("The series has changed since it was segmented: wait for the new result and review that.")


def _put(node: Node, series: str, review: Review, version: str | None, attachment: bytes) -> Review:
    try:
        node.attach_instead(series, REVIEW, attachment, version)
    except AlreadyThere as fault:
        first = read(node, series, review.job)
        if first is None:
            raise Late("Somebody else changed this at the same moment: open it again.") from fault
        if not first.same_as(review):
            raise Late(_first(first)) from fault
        return first
    if (node.attached_json(series, JOB) or {}).get("job") != review.job:
        raise Late("The series was segmented anew at this moment, so this result is superseded: open it again.")
    return review
