"""TG-263 names, and the table that turns them into a clinic's own.

A table is a file that the user gives: JSON `{"Parotid_L": "Parotis links", ...}` or CSV with two columns, TG-263 name
and own name (comma, semicolon or tab; a first line `TG-263,...` is a heading). UTF-8.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import WrongUsage

LONGEST_ROI_NAME = 64  # ROI Name is of VR LO, PS3.5 6.2
SAFE_ROI_NAME = 16  # TG-263 (AAPM, 2018) keeps its names so short because planning systems cut longer ones


@dataclass(frozen=True)
class NameTable:
    """TG-263 name -> name in the clinic; an organ without an entry keeps its TG-263 name."""

    own_names: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self):
        """Raises WrongUsage if a name cannot stand in an RTSTRUCT or two organs would share one."""
        users: dict[str, str] = {}
        for organ, own in self.own_names.items():
            check_roi_name(own, f"the clinic's name for {organ}")
            other = users.setdefault(own.casefold(), organ)
            if other != organ:
                raise WrongUsage(f"The name table calls both {other} and {organ} {own!r}: give each a name of its own.")
        tg263 = {organ.casefold(): organ for organ in self.own_names}
        for organ, own in self.own_names.items():
            if tg263.get(own.casefold(), organ) != organ:
                raise WrongUsage(
                    f"The name table calls {organ} {own!r}, which is the TG-263 name of another organ: choose another."
                )

    @classmethod
    def read(cls, path: Path) -> NameTable:
        """From a .json or .csv file. Raises WrongUsage with the reason if it is no such table."""
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise WrongUsage(f"The name table {path} cannot be read: give a UTF-8 file.") from error
        pairs = _json_pairs(text, path) if path.suffix.lower() == ".json" else _csv_pairs(text, path)
        names: dict[str, str] = {}
        for organ, own in pairs:
            if organ in names:
                raise WrongUsage(f"The name table {path} has two entries for {organ}: keep one.")
            names[organ] = own
        return cls(names)

    def own_name(self, organ: str) -> str:
        return self.own_names.get(organ, organ)

    def organ_of(self, roi_name: str) -> str:
        """The TG-263 name behind an ROI's name (the name itself if the table does not know it)."""
        return next((organ for organ, own in self.own_names.items() if own == roi_name), roi_name)

    def check_against(self, organs: Iterable[str]) -> list[str]:
        """Sentences on entries that no organ uses, and on names that planning systems may cut. Raises WrongUsage if two
        of the organs would share a name."""
        organs = list(organs)
        users: dict[str, str] = {}
        for organ in organs:
            own = self.own_name(organ)
            other = users.setdefault(own.casefold(), organ)
            if other != organ:
                raise WrongUsage(
                    f"With this name table both {other} and {organ} are called {own!r}: choose another name."
                )
        sentences = []
        if unused := sorted(set(self.own_names) - set(organs)):
            sentences.append(
                f"The name table has entries for organs that this model does not know: {', '.join(unused)}."
            )
        if long := [own for own in map(self.own_name, organs) if len(own) > SAFE_ROI_NAME]:
            sentences.append(
                f"Some planning systems cut names of structures after {SAFE_ROI_NAME} characters; longer here: "
                f"{', '.join(long)}. Give shorter ones with a name table (--names)."
            )
        return sentences


def check_roi_name(name: object, what: str) -> None:
    """Raises WrongUsage unless `name` can be an ROI Name (LO: 1 to 64
    characters, no backslash or control character)."""
    if not isinstance(name, str) or not name.strip():
        raise WrongUsage(f"{_start(what)} is empty or no text: give 1 to {LONGEST_ROI_NAME} characters.")
    if name != name.strip():
        raise WrongUsage(f"{_start(what)}, {name!r}, begins or ends with a space: remove it, DICOM does not keep it.")
    if len(name) > LONGEST_ROI_NAME:
        raise WrongUsage(
            f"{_start(what)} has {len(name)} characters, DICOM allows {LONGEST_ROI_NAME}: shorten {name!r}."
        )
    if "\\" in name or any(ord(character) < 32 or ord(character) == 127 for character in name):
        raise WrongUsage(
            f"{_start(what)}, {name!r}, has a backslash or control character, which DICOM forbids in names."
        )


def _start(what: str) -> str:
    return what[0].upper() + what[1:]


def _json_pairs(text: str, path: Path) -> list[tuple[str, str]]:
    try:
        pairs = json.loads(text, object_pairs_hook=list)
    except ValueError as error:
        raise WrongUsage(f"The name table {path} is not valid JSON ({error}).") from error
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
        raise WrongUsage(f'The name table {path} must be one JSON object, such as {{"Parotid_L": "Parotis links"}}.')
    return pairs


def _csv_pairs(text: str, path: Path) -> list[tuple[str, str]]:
    first = text.splitlines()[0] if text.strip() else ""
    delimiter = max(",;\t", key=first.count)
    rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines(), delimiter=delimiter)]
    pairs = []
    for number, row in enumerate(rows, start=1):
        if not any(row) or (number == 1 and row[0].casefold().replace("-", "").startswith("tg263")):
            continue
        if len(row) != 2 or not all(row):
            raise WrongUsage(f"Line {number} of the name table {path} is not `TG-263 name, own name`.")
        pairs.append((row[0], row[1]))
    return pairs
