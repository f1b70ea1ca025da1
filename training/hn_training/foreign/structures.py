"""Which organ a label of a published data set means: its TG-263 name, SNOMED CT code, side and colour.

The table is `structures.json` beside this file; its `sources` say where names, codes and labels come from. A label
is found by its exact text, except that upper and lower case, and space, underscore and hyphen, count as equal. Nothing
is guessed: a text that the table lacks, or that means different organs in different data sets, finds nothing unless
the data set is named, and is the user's to settle.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

TABLE = Path(__file__).with_name("structures.json")
SEPARATORS = str.maketrans(" -", "__")


@dataclass(frozen=True)
class Structure:
    """One organ, in the shapes of a model folder's organs.json.

    `name`: at most 16 characters, TG-263's primary name where `tg263`, else built by TG-263's rules. `code` and
    `laterality`: {"value", "scheme", "meaning"}, SNOMED CT (scheme SCT); the laterality is None for an organ without
    a side, and where the code itself says it. `color`: red, green, blue, 0 to 255. `labels`: what each data set calls
    it. `sources`: those of the table's sources that give its code; `others`: the codes that others give instead.
    `note`: what one must know, else empty.
    """

    name: str
    code: dict[str, str]
    laterality: dict[str, str] | None
    color: list[int]
    tg263: bool = True
    labels: dict[str, list[str]] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)
    others: dict[str, str] = field(default_factory=dict)
    note: str = ""


def find(label: str, source: str | None = None) -> Structure | None:
    """The structure that a label means: a TG-263 name, or a label of one of the table's data sets.

    `source`: the data set that the label comes from, one of `datasets()`; TG-263 names are found with any. None where
    the table lacks the label, and where no source is given and data sets mean different organs by it: see `meanings`.
    """
    found = meanings(label)
    if source is not None:
        if source not in datasets():
            raise ValueError(f"{source!r} is not a data set of the table. It has: {', '.join(datasets())}.")
        return found.get(source) or found.get("TG-263")
    different = {structure.name: structure for structure in found.values()}
    return next(iter(different.values())) if len(different) == 1 else None


def meanings(label: str) -> dict[str, Structure]:
    """What each data set means by a label: {source: structure}, with "TG-263" for a name of the table; {} if none."""
    return _index().get(_key(label), {})


@cache
def structures() -> tuple[Structure, ...]:
    """All structures of the table, in its order."""
    return tuple(Structure(**entry) for entry in _table()["structures"])


def datasets() -> tuple[str, ...]:
    """The data sets whose labels the table knows."""
    return tuple(dict.fromkeys(source for structure in structures() for source in structure.labels))


def sources() -> dict[str, dict[str, str]]:
    """Where the facts come from: {key: {"title", "version"}}."""
    return _table()["sources"]


@cache
def _table() -> dict:
    return json.loads(TABLE.read_text(encoding="utf-8"))


@cache
def _index() -> dict[str, dict[str, Structure]]:
    return index(structures())


def index(entries: Iterable[Structure]) -> dict[str, dict[str, Structure]]:
    """{key of a text: {source: structure}}. ValueError where one source gives a text two meanings."""
    found: dict[str, dict[str, Structure]] = {}
    for entry in entries:
        for source, labels in {"TG-263": [entry.name], **entry.labels}.items():
            for label in labels:
                other = found.setdefault(_key(label), {}).setdefault(source, entry)
                if other is not entry:
                    raise ValueError(f"{source} calls both {other.name} and {entry.name} {label!r}.")
    return found


def _key(label: str) -> str:
    return label.strip().casefold().translate(SEPARATORS)
