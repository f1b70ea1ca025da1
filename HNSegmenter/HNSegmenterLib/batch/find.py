"""Which CT series lie below a folder. Only the little that is needed of each file is kept, for there may be many."""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from ..dicom.choose import MIN_SLICES
from ..dicom.find import NOT_DICOM, UNREADABLE, Ignored, each_file
from ..dicom.headers import Header
from ..events import CancelToken, Emit
from ..service.table.interface import digest_of

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
NAME_LENGTH = 12  # hexadecimal digits: of 10,000 series, two get one name with a probability of 2 in 10 million


@dataclass(frozen=True)
class Candidate:
    """A CT series that is contoured if it turns out to be a planning CT.

    folder: of its results in OUT, named by no one; place: where it lies below ROOT, for the screen alone; files: paths
    of its files; beside: of files in the same folders that are no DICOM, though they are called like its slices, or
    cannot be read; sop_digest: of its SOP Instance UIDs; voxels: of all images.
    """

    folder: str
    series_uid: str
    study_uid: str
    place: str
    files: tuple[str, ...]
    beside: tuple[str, ...]
    sop_digest: str
    voxels: int


@dataclass(frozen=True)
class LeftOut:
    """A CT series that is no planning CT, and why: a whole sentence."""

    series_uid: str
    place: str
    images: int
    reason: str


@dataclass(frozen=True)
class Found:
    """files: how many were looked at; others: series that are no CT."""

    candidates: tuple[Candidate, ...]
    left_out: tuple[LeftOut, ...]
    files: int
    others: int


@dataclass
class _Files:
    """Of one series, while the folder is searched."""

    study_uid: str = ""
    ct: int = 0
    voxels: int = 0
    paths: list[str] = field(default_factory=list)
    sop_uids: list[str] = field(default_factory=list)


def find(root: Path, emit: Emit | None = None, cancel: CancelToken | None = None) -> Found:
    """Every CT series below root, in order of place. Emits and raises as dicom.find.find_series does."""
    series: dict[str, _Files] = defaultdict(_Files)
    damaged: dict[tuple[str, str], list[str]] = defaultdict(list)
    files = 0
    for one in each_file(root, emit, cancel):
        files += 1
        if isinstance(one, Ignored):
            if one.reason in (NOT_DICOM, UNREADABLE):
                damaged[_home(str(one.path))].append(str(one.path))
        else:
            _add(series[one.text("SeriesInstanceUID")], one)
    nameless = series.pop("", _Files())
    for path in nameless.paths:
        damaged[_home(path)].append(path)
    cts = {uid: group for uid, group in series.items() if group.ct}
    whole = {uid: group for uid, group in cts.items() if group.ct >= MIN_SLICES}
    candidates = [_candidate(uid, group, root, damaged) for uid, group in whole.items()]
    left_out = [
        LeftOut(
            uid,
            _place(group.paths, root),
            group.ct,
            f"The series has only {group.ct} CT images (at least {MIN_SLICES} are needed).",
        )
        for uid, group in cts.items()
        if uid not in whole
    ]
    if nameless.ct:
        reason = "CT images without Series Instance UID belong to no series."
        left_out.append(LeftOut("", _place(nameless.paths, root), nameless.ct, reason))
    return Found(
        tuple(sorted(candidates, key=_order)),
        tuple(sorted(left_out, key=_order)),
        files,
        len(series) - len(cts),
    )


def folder_name(series_uid: str) -> str:
    """The name of a series' results: the same on every computer, and nothing that tells the patient."""
    return hashlib.sha256(series_uid.encode()).hexdigest()[:NAME_LENGTH]


def _order(one: Candidate | LeftOut) -> tuple:
    """By place as people count: 2 before 10."""
    parts = re.split(r"(\d+)", one.place.casefold())  # text and number in turn
    return [int(part) if number % 2 else part for number, part in enumerate(parts)], one.series_uid


def _add(group: _Files, header: Header) -> None:
    group.study_uid = group.study_uid or header.text("StudyInstanceUID")
    modality = header.text("Modality").upper()
    group.ct += modality == "CT" or (not modality and header.text("SOPClassUID") == CT_IMAGE_STORAGE)
    group.voxels += round((header.number("Rows") or 0) * (header.number("Columns") or 0))
    group.paths.append(str(header.path))
    group.sop_uids.append(header.text("SOPInstanceUID"))


def _candidate(uid: str, group: _Files, root: Path, damaged: dict[tuple[str, str], list[str]]) -> Candidate:
    beside = [path for home in sorted({_home(path) for path in group.paths}) for path in damaged.get(home, [])]
    return Candidate(
        folder_name(uid),
        uid,
        group.study_uid,
        _place(group.paths, root),
        tuple(group.paths),
        tuple(beside),
        digest_of(group.sop_uids),
        group.voxels,
    )


def _home(path: str) -> tuple[str, str]:
    """Folder and extension: of files that have both in common, one may be a damaged slice among the others."""
    return os.path.split(path)[0], PurePath(path).suffix


def _place(paths: list[str], root: Path) -> str:
    """The folder that holds all of the files, relative to root."""
    return os.path.relpath(os.path.commonpath([os.path.split(path)[0] for path in paths]), root)
