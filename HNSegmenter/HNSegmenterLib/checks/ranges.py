"""The plausible ranges that the checks compare with: ranges.json, measured by tools/measure_ranges.py."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("ranges.json")
ORGANS = ("Brainstem", "SpinalCord", "Parotid_L", "Parotid_R", "Eye_L", "Eye_R")
LEFT_RIGHT = (("Parotid_L", "Parotid_R"), ("Eye_L", "Eye_R"))


@cache
def load() -> dict:
    """The contents of ranges.json."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def organ_range(name: str, *keys: str) -> dict | None:
    """{"low", "median", "high", "n"} of one figure of an organ, None where none was measured."""
    place = load()["organs"].get(name)
    for key in keys:
        place = place.get(key) if place else None
    return place


def pair_range(first: str, second: str, *keys: str) -> dict | None:
    """As organ_range, for two organs in the order of ORGANS."""
    place = load()["pairs"].get(f"{first} {second}")
    for key in keys:
        place = place.get(key) if place else None
    return place


def is_plausible(value: float, bounds: dict | None) -> bool:
    """Whether the value is within bounds; so is everything where there are none."""
    return bounds is None or bounds.get("low", float("-inf")) <= value <= bounds["high"]
