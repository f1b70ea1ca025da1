"""What page and table tell of each series: read from OUT, with the reasons of what is not there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..pipeline import RTSTRUCT
from ..result import Result
from .find import Candidate, LeftOut
from .one import DONE, FAILED, LEFT_OUT, Answer
from .results import RECORD, all_results, read

WAITING = "waiting"


@dataclass(frozen=True)
class Entry:
    """A series. place: where it lies below ROOT, "" where it is there no more; result: of a series that is done."""

    folder: str
    series_uid: str
    study_uid: str
    place: str
    images: int
    state: str
    reason: str = ""
    result: Result | None = None
    rtstruct_uid: str = ""

    @property
    def remarks(self) -> list[str]:
        """What is to be looked at, the whole scan's first."""
        if self.result is None:
            return [self.reason] if self.reason else []
        return [*self.result.warnings, *(sentence for organ in self.result.organs for sentence in organ.checks)]


class Lists:
    """Keeps what it has read of OUT, since folders there do not change while they stand."""

    def __init__(self, out: Path, candidates: tuple[Candidate, ...], left_out: tuple[LeftOut, ...]):
        self._out, self._candidates, self._left_out = out, candidates, left_out
        self._read: dict[str, tuple[int, Result, str]] = {}

    def entries(self, answers: dict[str, Answer]) -> list[Entry]:
        """Of all series that were found, in order of place, then of results whose series is not there any more."""
        there = {folder.name: folder for folder in all_results(self._out)}
        found = []
        for one in self._candidates:
            about = (one.folder, one.series_uid, one.study_uid, one.place, len(one.files))
            answer = answers.get(one.folder, Answer(WAITING))
            kept = self._result(there[one.folder]) if one.folder in there and answer.state in (DONE, WAITING) else None
            found.append(Entry(*about, DONE, "", *kept) if kept else Entry(*about, answer.state, answer.reason))
        found += [Entry("", one.series_uid, "", one.place, one.images, LEFT_OUT, one.reason) for one in self._left_out]
        known = {one.folder for one in self._candidates}
        for name, folder in there.items():
            if name not in known and (kept := self._result(folder)):
                about = kept[0].input[RECORD]
                series, study = (str(about.get(f"{kind}_instance_uid", "")) for kind in ("series", "study"))
                found.append(Entry(name, series, study, "", 0, DONE, "", *kept))
        return found

    def _result(self, folder: Path) -> tuple[Result, str] | None:
        try:
            changed = folder.stat().st_mtime_ns
        except OSError:
            return None
        kept = self._read.get(folder.name)
        if kept is None or kept[0] != changed:
            result = read(folder)
            if result is None:
                return None
            kept = self._read[folder.name] = (changed, result, _sop_uid(folder / RTSTRUCT))
        return kept[1], kept[2]


def _sop_uid(path: Path) -> str:
    from pydicom.filereader import read_file_meta_info

    try:
        return str(read_file_meta_info(path).get("MediaStorageSOPInstanceUID", ""))
    except Exception:  # noqa: BLE001 - pydicom raises many kinds; the list is still of use without it
        return ""


def counts(entries: list[Entry]) -> dict[str, int]:
    """How many are in each state."""
    return {state: sum(entry.state == state for entry in entries) for state in (DONE, FAILED, LEFT_OUT, WAITING)}
