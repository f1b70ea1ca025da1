"""What a command says: a progress bar, sentences and tables for people, JSON lines for scripts."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from collections.abc import Sequence
from datetime import datetime

from ..events import Event

GAP = "  "  # between the columns of a list


def moment(when: datetime) -> str:
    """In local time, as lists show it."""
    return f"{when.astimezone():%d %b %H:%M}"


class JsonUi:
    """One JSON object a line on stdout: the job's events, then {"event": "result", ...}."""

    def __init__(self):
        self._heard = True
        self.warned: set[str] = set()

    def __enter__(self) -> JsonUi:
        return self

    def __exit__(self, *_) -> None:
        pass

    def emit(self, event: Event) -> None:
        self._line(event.to_dict())

    def say(self, text: str) -> None:
        self._line({"event": "message", "message": text})

    def lines(self, columns: Sequence[str], rows: Sequence[Sequence[str]], whole: int) -> bool:  # noqa: ARG002 - called as TerminalUi's
        """Lists are for people, as tables are."""
        return False

    def table(
        self, columns: Sequence[str], rows: Sequence[Sequence], title: str = "", whole: Sequence[str] = ()
    ) -> None:
        """Tables are for people: a script reads result()."""

    def ask(self, question: str) -> None:
        """A script has said beforehand what it agrees to."""

    def result(self, values: dict) -> None:
        self._line({"event": "result", **values})

    def error(self, sentence: str, exit_code: int) -> None:
        self._line({"event": "error", "message": sentence, "exit": exit_code})

    def _line(self, values: dict) -> None:
        if not self._heard:
            return
        try:
            print(json.dumps(values, ensure_ascii=False), flush=True)
        except (OSError, ValueError):  # whoever listened is gone: the job goes on without
            self._heard = False


class TerminalUi:
    """Progress and faults on stderr, results on stdout."""

    def __init__(self):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

        self._out = Console(highlight=False, soft_wrap=True)
        self._err = Console(stderr=True, highlight=False, soft_wrap=True)
        self._progress = Progress(
            TextColumn("{task.description:<22}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            console=self._err,
            transient=True,
            disable=not self._err.is_terminal,
        )
        self._task = None
        self.warned: set[str] = set()

    def __enter__(self) -> TerminalUi:
        self._progress.start()
        return self

    def __exit__(self, *_) -> None:
        self._progress.stop()

    def emit(self, event: Event) -> None:
        if event.kind == "warning":
            self.warned.add(event.message or "")
            self._err.print(f"Warning: {event.message}", style="yellow", markup=False)
        elif event.kind in ("progress", "state"):
            if self._task is None:
                self._task = self._progress.add_task("", total=1.0)
            words = " ".join(filter(None, (event.stage, event.message)))
            self._progress.update(self._task, description=words, completed=event.fraction)

    def say(self, text: str) -> None:
        self._out.print(text, markup=False, emoji=False)

    def lines(self, columns: Sequence[str], rows: Sequence[Sequence[str]], whole: int) -> bool:
        """One line a row, as wide as the terminal: of its cells the first `whole` stand whole,
        the others are cut to what is left.

        Returns whether something was cut. Into a file or a pipe, where nobody gave a width, nothing is.
        """
        from rich.cells import cell_len
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        rows = [[" ".join(text.split()) for text in row] for row in rows]
        table = Table(box=None, padding=(0, len(GAP), 0, 0), pad_edge=False)
        for number, column in enumerate(columns):
            table.add_column(column, no_wrap=number < whole)
        for row in rows:
            table.add_row(*(Text(text, no_wrap=True, overflow="ellipsis") for text in row))
        widths = [max(cell_len(text) for text in column) for column in zip(columns, *rows, strict=True)]
        needed = sum(widths) + len(GAP) * (len(widths) - 1)
        if self._out.is_terminal or os.environ.get("COLUMNS"):
            self._out.print(table, soft_wrap=False)
            return needed > self._out.width
        drawn = io.StringIO()
        Console(file=drawn, width=needed).print(table)
        for line in drawn.getvalue().splitlines():
            self.say(line.rstrip())
        return False

    def table(
        self, columns: Sequence[str], rows: Sequence[Sequence], title: str = "", whole: Sequence[str] = ()
    ) -> None:
        """A cell may be anything; numbers align to the right.
        whole: columns that are not broken where others can be."""
        from rich.table import Table
        from rich.text import Text

        table = Table(title=title or None, title_justify="left")
        for index, column in enumerate(columns):
            numeric = rows and all(isinstance(row[index], (int, float)) for row in rows)
            table.add_column(column, justify="right" if numeric else "left", overflow="fold", no_wrap=column in whole)
        for row in rows:
            table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
        self._out.print(table, soft_wrap=False)

    def ask(self, question: str) -> bool | None:
        """Yes or no, which is the default; None where nobody is at a terminal. Raises KeyboardInterrupt."""
        if not (self._err.is_terminal and sys.stdin is not None and sys.stdin.isatty()):
            return None
        self._progress.stop()
        handlers = {
            number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            self._err.print(f"{question} [y/N] ", end="", markup=False)
            return sys.stdin.readline().strip().casefold() in ("y", "yes")
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def result(self, values: dict) -> None:
        """The terminal has said it in words already."""

    def error(self, sentence: str, exit_code: int) -> None:
        self._err.print(sentence, style="red" if exit_code != 130 else "yellow", markup=False)


def open_ui(as_json: bool) -> JsonUi | TerminalUi:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a path that the console cannot print is no fault
            stream.reconfigure(encoding="utf-8" if as_json else None, errors="backslashreplace")
    return JsonUi() if as_json else TerminalUi()
