"""Values of service.toml: each of the right kind, or a sentence that names its key."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_type_hints

from ..errors import WrongUsage

UNAPPROVED, APPROVED = "UNAPPROVED", "APPROVED"
AE_TITLE = re.compile(
    r"(?=.*\S)[ -\[\]-~]{1,16}"
)  # PS3.5, VR AE: 16 printable ASCII characters, no backslash, not all spaces

# What a key must be beyond its type, and how the sentence says it.
CHECKS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "url": (lambda value: re.match(r"https?://[^/]", value), "an address as http://host:8042"),
    "ae_title": (AE_TITLE.fullmatch, "an AE title: 1 to 16 characters, no backslash"),
    "host": (lambda value: value.strip(), "a host name or address"),
    "port": (lambda value: 0 < value < 65536, "a port from 1 to 65535"),
    "dicom_port": (lambda value: 0 < value < 65536, "a port from 1 to 65535"),
    "orthanc_port": (lambda value: 0 < value < 65536, "a port from 1 to 65535"),
    "approval": (lambda value: value in (UNAPPROVED, APPROVED), f'"{UNAPPROVED}" or "{APPROVED}"'),
    "queue": (
        lambda value: value == "sqlite" or re.match(r"rediss?://|unix://", value),
        '"sqlite" or an address as redis://host:6379/0',
    ),
    "runtime": (lambda value: value in ("auto", "docker", "local"), '"auto", "docker" or "local"'),
    "description_patterns": (lambda value: all(map(_is_pattern, value)), "a list of regular expressions"),
    "body_part_patterns": (lambda value: all(map(_is_pattern, value)), "a list of regular expressions"),
    **dict.fromkeys(
        ("stable_age_s", "poll_s", "attempts", "lease_s", "retry_s"), (lambda value: value > 0, "more than 0")
    ),
    **dict.fromkeys(
        ("minimum_slices", "minimum_field_of_view_mm", "minimum_coverage_mm"), (lambda value: value >= 0, "0 or more")
    ),
}
EXPECTED = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    tuple[str, ...]: "a list of texts",
}


class ModelChoices(tuple[str, ...]):
    """What [worker] model names, one or several: NAME, NAME@VERSION, folders; each with organs after a colon."""


THE_SHIPPED_ONE = ModelChoices()


def part(kind: type, table: Any, where: str, path: Path, **given: str) -> Any:
    """An instance of the dataclass `kind` from a table of the file."""
    if not isinstance(table, dict):
        raise WrongUsage(f"{path}: {where} must be a table: write [{where}].")
    known = {item.name: item for item in fields(kind) if item.name not in given}
    if unknown := set(table) - set(known):
        raise WrongUsage(f"{path}: [{where}] has unknown keys ({', '.join(sorted(unknown))}): remove them.")
    required = [name for name, item in known.items() if item.default is MISSING]
    if missing := [name for name in required if name not in table]:
        raise WrongUsage(f"{path}: [{where}] lacks {', '.join(missing)}.")
    hints = get_type_hints(kind)
    values = {name: _value(value, hints[name], f"{where}.{name}", name, path) for name, value in table.items()}
    return kind(**given, **values)


def _value(value: Any, hint: Any, where: str, key: str, path: Path) -> Any:
    if hint in (Path, Path | None):
        if not isinstance(value, str) or (hint is Path and not value):
            raise WrongUsage(f"{path}: {where} must be a path.")
        return path.absolute().parent / Path(value).expanduser() if value else None
    if hint is ModelChoices:
        return _model_choices(value, where, path)
    if hint == tuple[str, ...]:
        right = isinstance(value, list) and all(isinstance(item, str) for item in value)
    elif hint is float:
        right = isinstance(value, (int, float)) and not isinstance(value, bool)
    else:
        right = type(value) is hint
    if not right:
        raise WrongUsage(f"{path}: {where} must be {EXPECTED[hint]}.")
    check(key, value, f"{path}: {where}")
    return tuple(value) if hint == tuple[str, ...] else hint(value)


def _model_choices(value: Any, where: str, path: Path) -> ModelChoices:
    """Folders are relative to the file's folder, as other paths are."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise WrongUsage(f"{path}: {where} must be the name of a model, its folder, or a list of these.")
    return ModelChoices(_model_choice(text, path.absolute().parent) for text in texts if text)


def _model_choice(text: str, base: Path) -> str:
    name, colon, organs = text.rpartition(":")
    for place, rest in ((text, ""), (name, colon + organs)):
        folder = base / Path(place).expanduser()
        try:
            if place and (folder / "model.json").is_file():
                return f"{folder}{rest}"
        except OSError:  # too long to be a path: a name with many organs
            continue
    return text


def check(key: str, value: Any, where: str) -> Any:
    """The value, as it may stand under that key. Raises WrongUsage, which begins with where."""
    fits, expected = CHECKS.get(key, (lambda _: True, ""))
    if not fits(value):
        raise WrongUsage(f"{where} must be {expected}, not {value!r}.")
    return value


def _is_pattern(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return True
