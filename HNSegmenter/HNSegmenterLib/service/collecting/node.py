"""The approved patients of the DICOM node: only those that a named reviewer approved, never an automatic result."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime

from ...errors import RuntimeFault, UnusableInput
from ...events import CancelToken
from ...job import Job as JobFolder
from ...pipeline import RESULT
from ...result import Result
from ...rtstruct import NameTable, pair, placed
from ...rtstruct.filled import filled
from ..corrections.measuring import corrections
from ..inbox import correcting, fetching, finalising
from ..inbox.review_record import APPROVE, Review, parsed, reviewed_set
from ..node.client import JOB, REVIEW, Node, NotThere
from .case import Case, LeftOut, Origin, drawn_only

_AT_ONCE = 8  # requests in flight while looking who is approved
CHANGED = "The series has changed since it was approved."
EARLIER = "A later CT of the same patient is approved too."
GONE = "It was deleted from the node meanwhile."


@dataclass(frozen=True)
class Wanted:
    """Which approvals: by any of these reviewers and to any of these destinations, () for all; both days included, in
    the reviewer's time zone."""

    reviewers: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
    since: date | None = None
    until: date | None = None

    def takes(self, review: Review, sent_to: set[str]) -> bool:
        day = datetime.fromisoformat(review.time).date()
        return (
            (not self.reviewers or review.reviewer.casefold() in {name.casefold() for name in self.reviewers})
            and (not self.destinations or not sent_to.isdisjoint(self.destinations))
            and (self.since is None or day >= self.since)
            and (self.until is None or day <= self.until)
        )


@dataclass(frozen=True)
class Approval:
    """An approved series. fault: why it cannot be collected, "" where nothing speaks against it."""

    origin: Origin
    review: Review
    fault: str = ""


def approvals(node: Node, wanted: Wanted) -> list[Approval]:
    """All that are wanted, in an order that says nothing of when they were scanned or approved. Raises NodeFault."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        looked = pool.map(lambda series: _approval(node, series, wanted), node.all_series())
        found = [approval for approval in looked if approval is not None]
    latest = {one.origin.patient: one for one in sorted(found, key=_when) if not one.fault}
    chosen = [
        one if one.fault or latest[one.origin.patient] is one else Approval(one.origin, one.review, EARLIER)
        for one in found
    ]
    return sorted(chosen, key=lambda one: one.review.uuid)  # made up at random


def cases(
    node: Node, found: list[Approval], names: NameTable, cancel: CancelToken
) -> Iterator[tuple[Origin, Case | LeftOut]]:
    """Each approval as a case, or why it is none; its files are gone again when the next one is read.

    names: the clinic's, for organs beyond the model's. Raises NodeFault, Cancelled.
    """
    for one in found:
        cancel.raise_if_cancelled()
        if one.fault:
            yield one.origin, LeftOut(one.fault)
            continue
        with JobFolder(cancel=cancel) as work:
            try:
                case: Case | LeftOut = _case(node, one, names, work, cancel)
            except NotThere:
                case = LeftOut(GONE)
            except (UnusableInput, RuntimeFault) as fault:
                case = LeftOut(fault.sentence)
            yield one.origin, case


def _approval(node: Node, series: str, wanted: Wanted) -> Approval | None:
    try:
        content = node.attachment(series, REVIEW)
        review = parsed(content) if content else None
        if review is None or review.decision != APPROVE:
            return None
        record = node.attached_json(series, JOB) or {}
        if not wanted.takes(review, _destinations(review, record)):
            return None
        about, study = node.series(series)["MainDicomTags"], node.study_of(series)
    except NotThere:  # deleted while we looked
        return None
    person = study["PatientMainDicomTags"].get("PatientID", "").strip() or study["ID"]
    origin = Origin(series, about.get("SeriesInstanceUID", ""), person, review.sop_instance_uid)
    return Approval(origin, review, "" if record.get("job") == review.job else CHANGED)


def _destinations(review: Review, record: dict) -> set[str]:
    """Where the approved set goes: as the reviewer said, else all that the worker made of it."""
    if review.destinations:
        return set(review.destinations)
    return {item["destination"] for item in record.get("deliveries") or [] if item.get("kind") == "reviewed"}


def _case(node: Node, one: Approval, names: NameTable, work: JobFolder, cancel: CancelToken) -> Case:
    series, drawn_folder = one.origin.series, work.path / "drawn"
    ct = fetching.planning_ct(node, series, None, work.path, cancel=cancel)
    fetching.unpack_results(node, series, drawn_folder)
    result = Result.read(drawn_folder / RESULT)
    content = reviewed_set(node, series, one.review.job)
    if content is None:
        raise UnusableInput(CHANGED)
    dataset = finalising.read_rtstruct(content)
    contours = placed(dataset, ct)
    approved = correcting.approved_organs(dataset, result, ct, contours)
    drawn = correcting.drawn_organs(drawn_folder, result, ct)
    organs = {name: organ.mask for name, organ in approved.items()}
    algorithms = {name: organ.algorithm for name, organ in approved.items()}
    for roi in pair(dataset).rois:
        name = names.organ_of(roi.name)
        if name in names.own_names and name not in organs and roi.name in contours:
            organs[name] = filled(contours[roi.name], ct)
            algorithms[name] = str(roi.item.get("ROIGenerationAlgorithm") or "")
    changes = tuple(corrections(drawn, approved, ct.image.GetSpacing()))
    return Case(one.origin, ct.image, drawn_only(organs), algorithms, changes)


def _when(approval: Approval) -> datetime:
    return datetime.fromisoformat(approval.review.time)
