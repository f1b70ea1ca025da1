"""model.json and organs.json: whether they are of a shape that the network's program knows."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

CONTRACT = 1
SHIPPED_WAY, NNUNET = "hn-network", "nnunet"
METHODS = (SHIPPED_WAY, NNUNET)
# They name folders, and a tag of Docker, which has at most 128 characters: neither blanks nor what parts a choice.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,31}")
ORGAN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+^~-]{0,63}")  # TG-263's characters; an ROI Name (LO) has at most 64
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # no file may be called so on Windows
LONGEST_CODE, LONGEST_MEANING = 16, 64  # Code Value and Code Meaning, of VR SH and LO


class Wrong(Exception):
    """What is wrong and what to do, of a description."""


@dataclass(frozen=True)
class ModelOrgan:
    """An organ that a model draws. name: TG-263; color: RGB 0..255; code, laterality: DICOM coded concept or None."""

    name: str
    label: int
    color: tuple[int, int, int]
    code: dict | None = None
    laterality: dict | None = None


def read_about(content: bytes) -> dict:
    """model.json, checked. Raises Wrong."""
    about = _object(content, "model.json")
    contract = about.get("contract")
    if contract != CONTRACT or isinstance(contract, bool):
        raise Wrong(f"it follows contract {contract!r}, this program knows {CONTRACT}: update one of them.")
    for key, pattern in (("name", NAME), ("version", VERSION)):
        value = about.get(key)
        if not isinstance(value, str) or not pattern.fullmatch(value) or not can_name_a_folder(value):
            raise Wrong(
                f"its {key} {value!r} cannot name a folder: write letters, digits, dots, - and _ in model.json, "
                "and make SHA256SUMS anew."
            )
    method = about.get("method", SHIPPED_WAY)
    if method not in METHODS:
        raise Wrong(
            f"it is to be run by the method {method!r}, this program knows {' and '.join(METHODS)}: update the program."
        )
    if not isinstance(about.get("trained", {}), dict):
        raise Wrong('model.json\'s "trained" is no object: export the model again.')
    checks = _OF_NNUNET if method == NNUNET else _OF_THE_SHIPPED_WAY
    preprocessing = about.get("preprocessing")
    if not isinstance(preprocessing, dict):
        raise Wrong('model.json has no "preprocessing": export the model again.')
    for key, check in checks.items():
        if not check(preprocessing.get(key)):
            raise Wrong(
                f"model.json has no usable preprocessing.{key} ({_brief(preprocessing.get(key))}): "
                "export the model again."
            )
    if method == NNUNET and about.get("output") not in ("labels", "regions"):
        raise Wrong('model.json\'s "output" must be "labels" or "regions": import the model again.')
    return about


def read_organs(content: bytes, about: dict) -> tuple[ModelOrgan, ...]:
    """Those of organs.json that the model draws (a channel is given), checked. Raises Wrong."""
    entries = _object(content, "organs.json").get("organs")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Wrong('organs.json has no list "organs": export the model again.')
    for entry in entries:
        _check_organ(entry)
    drawn = [entry for entry in entries if entry["channel"] is not None]
    if not drawn:
        raise Wrong("no organ of organs.json has a channel, so it would draw nothing: export the model again.")
    for what, values in (
        ("names", [entry["name"].casefold() for entry in entries]),  # some disks do not tell A from a
        ("labels", [entry["label"] for entry in entries]),
        ("channels", [entry["channel"] for entry in drawn]),
    ):
        if twice := next((value for value in values if values.count(value) > 1), None):
            raise Wrong(f"two organs of organs.json have the same {what[:-1]} ({twice}): give each its own.")
    if about.get("method") == NNUNET and about["output"] == "labels" and any(e["channel"] == 0 for e in drawn):
        raise Wrong("an organ of organs.json has channel 0, which is the background: import the model again.")
    return tuple(
        ModelOrgan(e["name"], e["label"], tuple(e["color"]), e.get("code"), e.get("laterality")) for e in drawn
    )


def can_name_a_folder(text: str) -> bool:
    """On every system: Windows keeps some names to itself, and drops a last dot."""
    return not RESERVED.fullmatch(text) and not text.endswith(".")


def _check_organ(entry: dict) -> None:
    name = entry.get("name")
    if not isinstance(name, str) or not ORGAN.fullmatch(name) or not can_name_a_folder(name):
        raise Wrong(
            f"an organ of organs.json is called {_brief(name)}, which cannot name a file: use a TG-263 name, "
            "of letters, digits and _ + ^ ~ -"
        )
    color, channel = entry.get("color"), entry.get("channel")
    if not _int(entry.get("label")) or not 1 <= entry["label"] <= 65535:
        raise Wrong(f"{name} has no label from 1 to 65535 in organs.json: give it one.")
    if not isinstance(color, list) or len(color) != 3 or not all(_int(part) and 0 <= part <= 255 for part in color):
        raise Wrong(f"{name} has no color of three numbers from 0 to 255 in organs.json: give it one.")
    if "channel" not in entry or (channel is not None and not (_int(channel) and channel >= 0)):
        raise Wrong(f"{name} has no channel (a number, or null) in organs.json: export the model again.")
    for key in ("code", "laterality"):
        if not _is_code(entry.get(key)):
            raise Wrong(
                f"the {key} of {name} in organs.json is no coded concept: write value, scheme and meaning, or null."
            )


def _is_code(concept: object) -> bool:
    if concept is None:
        return True
    limits = {"value": LONGEST_CODE, "scheme": LONGEST_CODE, "meaning": LONGEST_MEANING}
    return isinstance(concept, dict) and all(
        isinstance(concept.get(key), str)
        and 0 < len(concept[key].strip()) <= most
        and "\\" not in concept[key]
        and concept[key].isprintable()
        for key, most in limits.items()
    )


def _object(content: bytes, name: str) -> dict:
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Wrong(f"its {name} is not valid JSON: export the model again.") from error
    if not isinstance(values, dict):
        raise Wrong(f"its {name} is no JSON object: export the model again.")
    return values


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _positive(value: Any) -> bool:
    return _number(value) and value > 0


def _some(count: int, check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and len(value) == count and all(map(check, value))


def _order(value: Any) -> bool:
    return _int(value) and 0 <= value <= 5  # a spline's


_COMMON: dict[str, Callable[[Any], bool]] = {
    "spacing_mm": _some(3, _positive),
    "patch": _some(3, lambda value: _int(value) and value > 0),
    "hu_clip": lambda value: _some(2, _number)(value) and value[0] < value[1],
    "hu_shift": _number,
    "hu_scale": _positive,
}
_OF_THE_SHIPPED_WAY = _COMMON | {
    "axes": lambda value: value == "LPS",
    "resolution_mm": lambda value: value is None or _some(3, lambda number: _number(number) and number >= 0)(value),
    "multiple": lambda value: _int(value) and value > 0,
    "overlap": lambda value: _number(value) and 0 <= value < 1,
}
_OF_NNUNET = _COMMON | {
    "axes": lambda value: value in ("LPS", "RAS"),
    "transpose": lambda value: _some(3, _int)(value) and sorted(value) == [0, 1, 2],
    "image_order": _order,
    "image_order_z": _order,
    "logits_order": _order,
    "logits_order_z": _order,
    "separate_z": lambda value: value is None or isinstance(value, bool),
    "anisotropy": _positive,
    "step": lambda value: _positive(value) and value <= 1,
    "mirror_axes": lambda value: isinstance(value, list) and set(map(repr, value)) <= {"0", "1", "2"},
    "mirroring": lambda value: isinstance(value, bool),
}
