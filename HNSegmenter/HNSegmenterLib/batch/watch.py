"""What is told while a batch runs: every series that has an end, how much is done, and the lists, kept up to date."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from ..events import Emit, Event
from .find import Found
from .lists import Entry, Lists
from .one import FAILED, Answer
from .out_folder import write_lists
from .page import About, page
from .table_file import table

LISTS_EVERY_S = 10.0
LISTS_SHARE = 0.05  # of the time, at most, goes into writing them while the work goes on

WriteLists = Callable[[dict[str, Answer]], list[Entry]]


def lists_of(root: Path, out: Path, found: Found) -> WriteLists:
    """A function that writes index.html and results.csv from what OUT holds and what became of the rest (by folder).

    It returns all entries, and raises HNSegmenterError."""
    lists = Lists(out, found.candidates, found.left_out)

    def write(answers: dict[str, Answer]) -> list[Entry]:
        entries = lists.entries(answers)
        when = f"{datetime.now().astimezone():%d %b %Y, %H:%M}"
        write_lists(out, page(entries, About(root.absolute(), when, found.files, found.others)), table(entries))
        return entries

    return write


class Watch:
    """before: how many had an end when it first looked."""

    def __init__(self, total: int, write: WriteLists, emit: Emit):
        self._total, self._write, self._emit = total, write, emit
        self._known: dict[str, Answer] | None = None
        self._began = time.monotonic()
        self._next_lists = 0.0
        self._told: Event | None = None
        self._fraction = 0.0
        self.before = 0

    def look(self, answers: dict[str, Answer], at_hand: float) -> None:
        """answers: by folder, what became of those that have an end; at_hand: how much is done of others, in series."""
        if self._known is None:
            self._known, self.before = {}, len(answers)
            self._write_in_time(answers)
        news = {folder: answer for folder, answer in answers.items() if folder not in self._known}
        for folder, answer in news.items():
            data = {"folder": folder, "state": answer.state, "reason": answer.reason}
            self._emit(Event("patient", None, None, None, data))
            if answer.state == FAILED:
                self._emit(Event("warning", None, None, f"{folder}: {answer.reason}"))
        self._known = answers
        self._tell(answers, at_hand)
        if news and time.monotonic() > self._next_lists:
            self._write_in_time(answers)

    def _write_in_time(self, answers: dict[str, Answer]) -> None:
        begin = time.monotonic()
        self._write(answers)
        now = time.monotonic()
        self._next_lists = now + max(LISTS_EVERY_S, (now - begin) / LISTS_SHARE)

    def _tell(self, answers: dict[str, Answer], at_hand: float) -> None:
        ended, failed = len(answers), sum(answer.state == FAILED for answer in answers.values())
        words = [f"{ended} of {self._total}", *([f"{failed} failed"] if failed else [])]
        if ended > self.before:
            words.append(self._left(ended + at_hand))
        done = min(1.0, (ended + at_hand) / self._total) if self._total else 1.0
        self._fraction = max(self._fraction, round(done, 3))  # a second try does not turn it back
        event = Event("progress", "contouring", self._fraction, ", ".join(words))
        if event != self._told:
            self._emit(event)
        self._told = event

    def _left(self, ended: float) -> str:
        each = (time.monotonic() - self._began) / (ended - self.before)
        minutes = each * (self._total - ended) / 60
        return f"about {minutes:.0f} min left" if minutes >= 1 else "less than a minute left"
