"""What the network's labels are called here: TG-263 names, codes, sides and colours, from a map or from the table."""

from __future__ import annotations

import colorsys
import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ..packing.model_folder import concept
from .errors import Refused
from .structures import Structure, datasets, find, meanings

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+^~-]{0,63}")
"""TG-263's characters; names become file names, and an ROI Name (LO) has at most 64 characters."""
RESERVED = re.compile(r"con|prn|aux|nul|com\d|lpt\d", re.IGNORECASE)  # no file may be called so on Windows
SIDES = {"L": concept("7771000", "Left"), "R": concept("24028007", "Right")}
HEX = re.compile(r"#?([0-9A-Fa-f]{6})")
COLUMNS = ("label", "name", "code", "meaning", "laterality", "color")
LARGEST_MAP = 4 * 1024**2
LEAVE_OUT = ""


@dataclass(frozen=True)
class Entry:
    """A line of the map. name: TG-263's, "" leaves the label out; what is None is taken from the table."""

    name: str
    code: dict | None = None
    laterality: dict | None = None
    color: list[int] | None = None


def read_map(path: Path) -> dict[str, Entry]:
    """A JSON or CSV file: label -> entry. Raises Refused."""
    try:
        content = path.read_bytes()[: LARGEST_MAP + 1]
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise Refused(f"The map {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise Refused(f"The map {path} is no text in UTF-8: save it as UTF-8.") from None
    if len(content) > LARGEST_MAP:
        raise Refused(f"The map {path} is larger than {LARGEST_MAP >> 20} MiB: that is no map.")
    pairs = _from_json(path, text) if text.lstrip().startswith(("{", "[")) else _from_csv(path, text)
    found: dict[str, Entry] = {}
    for label, entry in pairs:
        if label in found:
            raise Refused(f"The map {path} names the label {label!r} twice.")
        found[label] = entry
    if not found:
        raise Refused(f"The map {path} is empty.")
    return found


def _from_json(path: Path, text: str) -> Iterable[tuple[str, Entry]]:
    try:
        pairs = json.loads(text, object_pairs_hook=list)  # keeps what is there twice
    except (ValueError, RecursionError) as error:
        raise Refused(f"The map {path} is no valid JSON: {error}.") from None
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
        raise Refused(f'The map {path} must be an object, {{"label of the network": "TG-263 name"}}.')
    for label, value in pairs:
        if isinstance(value, str) or value is None:
            yield label, Entry((value or "").strip())
        elif isinstance(value, list) and all(isinstance(pair, tuple) for pair in value):
            yield label, _entry(path, label, {key: _plain(part) for key, part in value})
        else:
            raise Refused(f"The map {path} gives {label!r} neither a name nor an object with a name.")


def _plain(value: object) -> object:
    """A list of pairs as the object that it was."""
    pairs = isinstance(value, list) and bool(value) and all(isinstance(part, tuple) for part in value)
    return dict(value) if pairs else value  # type: ignore[call-overload]


def _from_csv(path: Path, text: str) -> Iterable[tuple[str, Entry]]:
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)  # spreadsheets of many countries write semicolons
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter)
    columns = [(column or "").strip().casefold() for column in reader.fieldnames or ()]
    if not {"label", "name"} <= set(columns) <= set(COLUMNS):
        raise Refused(
            f"The map {path} needs a first line with the columns label and name, and may have {', '.join(COLUMNS[2:])}."
        )
    reader.fieldnames = columns
    for row in reader:
        if None in row or None in row.values():
            raise Refused(f"Line {reader.line_num} of the map {path} has not as many columns as the first line.")
        cells = {key: cell.strip() for key, cell in row.items()}
        if not any(cells.values()):
            continue
        given = {key: cells[key] for key in ("name", "laterality", "color") if cells.get(key)}
        if cells.get("code"):
            given["code"] = {"value": cells["code"], "scheme": "SCT", "meaning": cells.get("meaning") or cells["name"]}
        yield cells["label"], _entry(path, cells["label"], {"name": cells["name"]} | given)


def _entry(path: Path, label: str, values: dict) -> Entry:
    where = f"The map {path}, at {label!r}"
    if unknown := sorted(set(values) - {"name", "code", "laterality", "color"}):
        raise Refused(f"{where}, has unknown {', '.join(unknown)}: name, code, laterality and color are known.")
    name = values.get("name") or ""
    if not isinstance(name, str):
        raise Refused(f"{where}, has a name that is no text.")
    return Entry(
        name.strip(), _code(where, values.get("code")), _side(where, values.get("laterality")),
        _color(where, values.get("color")),
    )  # fmt: skip


def _code(where: str, value: object) -> dict | None:
    if value is None:
        return None
    if isinstance(value, str):
        raise Refused(f'{where}, has a code without its meaning: write {{"value", "scheme", "meaning"}}.')
    limits = {"value": 16, "scheme": 16, "meaning": 64}  # Code Value and Scheme (SH), Code Meaning (LO)
    if not isinstance(value, dict) or set(value) != set(limits) or not all(
        isinstance(value[key], str) and value[key].strip() and len(value[key]) <= most and value[key].isprintable()
        and "\\" not in value[key]
        for key, most in limits.items()
    ):  # fmt: skip
        raise Refused(
            f"{where}, has no usable code: value and scheme (up to 16 characters) and meaning (up to 64) are needed."
        )
    return {key: value[key].strip() for key in limits}


def _side(where: str, value: object) -> dict | None:
    if value is None:
        return None
    if isinstance(value, str):
        for letter, side in SIDES.items():
            if value.casefold() in (letter.casefold(), side["meaning"].casefold()):
                return side
        raise Refused(f"{where}, has the laterality {value!r}: L (left) or R (right) is needed, or nothing.")
    return _code(where, value)


def _color(where: str, value: object) -> list[int] | None:
    if value is None:
        return None
    if isinstance(value, str) and (found := HEX.fullmatch(value)):
        return list(bytes.fromhex(found[1]))
    if isinstance(value, list) and len(value) == 3 and all(type(part) is int and 0 <= part <= 255 for part in value):
        return value
    raise Refused(f"{where}, has the color {value!r}: #rrggbb or three numbers from 0 to 255 are needed.")


def organs(channels: dict[str, int], given: dict[str, Entry], source: str | None = None) -> tuple[dict, list[str]]:
    """organs.json and the labels that are left out.

    channels: label -> channel of the output; given: the map; source: the data set whose labels they are, for the table.
    Raises Refused where a label has no name, where two have the same one, and where the map names a foreign label.
    """
    if source is not None and source not in datasets():
        raise Refused(f"The table knows no labels of {source!r}; it knows those of {', '.join(datasets())}.")
    if foreign := [label for label in given if label not in channels]:
        raise Refused(f"The map names {_listed(foreign)}, which the network doesn't have. It has {_listed(channels)}.")
    named: dict[str, Entry] = {}
    unknown, wrong = [], []
    for label in channels:
        entry = given.get(label)
        known = find(label, source) if entry is None else find(entry.name)
        if entry is None and known is None:
            unknown.append(label)
        elif entry is None or _can_be(entry.name):
            named[label] = _merged(entry, known)
        elif entry.name != LEAVE_OUT:
            wrong.append(entry.name)
    if wrong:
        raise Refused(
            f"The map has {_listed(wrong)}, which no organ may be called: TG-263 names have letters, digits and _ + ^ "
            "~ -, as Parotid_L has."
        )
    if unknown:
        raise Refused(_ask(unknown))
    if not named:
        raise Refused("The map leaves every label out: the model would draw nothing.")
    _check_twice(named)
    return {"organs": [_organ(channels[label], entry, channels) for label, entry in named.items()]}, [
        label for label in channels if label not in named
    ]


def _can_be(name: str) -> bool:
    return bool(NAME.fullmatch(name)) and not RESERVED.fullmatch(name)


def _merged(entry: Entry | None, known: Structure | None) -> Entry:
    """What the map says, else what the table says of that name."""
    if entry is None:
        assert known is not None
        return Entry(known.name, known.code, known.laterality, known.color)
    if known is None or known.name.casefold() != entry.name.casefold():  # a label of the table is no name of it
        side = SIDES.get(entry.name[-1]) if re.search(r"_[LR]$", entry.name) else None
        return Entry(entry.name, entry.code, entry.laterality or side, entry.color or color_of(entry.name))
    if entry.code is not None:
        return Entry(entry.name, entry.code, entry.laterality or known.laterality, entry.color or known.color)
    return Entry(entry.name, known.code, entry.laterality or known.laterality, entry.color or known.color)


def _ask(unknown: list[str]) -> str:
    """One sentence that lists all labels that need a name, and what those mean that have several meanings."""
    several = {label: {found.name for found in meanings(label).values()} for label in unknown}
    text = (
        f'The table has no name for {_listed(unknown)}: name each in a map (--organs), or leave it out there with "".'
    )
    for label, names in several.items():
        if names:
            text += f" {label!r} is {' or '.join(sorted(names))}, by the data set (--labels-of)."
    return text


def _check_twice(named: dict[str, Entry]) -> None:
    by_name: dict[str, list[str]] = {}
    for label, entry in named.items():
        by_name.setdefault(entry.name.casefold(), []).append(label)  # some disks do not tell A from a
    for labels in by_name.values():
        if len(labels) > 1:
            raise Refused(
                f"{_listed(labels)} would all be called {named[labels[0]].name}: give each its own name in a map "
                '(--organs), or leave all but one out with "".'
            )


def _organ(channel: int, entry: Entry, channels: dict[str, int]) -> dict:
    """label: the value of its voxels, from 1; regions count their channels from 0."""
    first = min(channels.values())
    return {
        "name": entry.name,
        "channel": channel,
        "label": channel - first + 1,
        "color": list(entry.color or color_of(entry.name)),
        "code": entry.code,
        "laterality": entry.laterality,
        "in_model": True,
    }


def color_of(name: str) -> list[int]:
    """A colour for a structure that the table lacks: a strong one, always the same for the same name."""
    digest = hashlib.sha256(name.encode()).digest()
    parts = colorsys.hsv_to_rgb(digest[0] / 256, 0.55 + digest[1] / 640, 0.75 + digest[2] / 1024)
    return [round(255 * part) for part in parts]


def _listed(labels: Iterable[str], quote: Callable[[str], str] = repr) -> str:
    return ", ".join(quote(label) for label in labels)
