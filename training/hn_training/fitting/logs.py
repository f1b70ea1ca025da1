"""The tables that a run writes beside its checkpoint."""

from __future__ import annotations

import csv
from pathlib import Path


def append(path: Path, row: dict) -> None:
    """Adds a row; a file of other columns is written anew with all of them, so that settings may change on the way."""
    rows = []
    if path.exists():
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    columns = list(dict.fromkeys([*(rows[0] if rows else []), *row]))
    with path.with_suffix(".part").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows([*rows, row])
    path.with_suffix(".part").replace(path)


def forget_after(path: Path, step: int) -> None:
    """Drops the rows of steps that will be run again."""
    if path.exists():
        head, *rows = path.read_text().splitlines(keepends=True)
        path.write_text(head + "".join(row for row in rows if int(row.split(",")[0]) <= step))
