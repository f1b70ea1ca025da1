"""The files beside the network in a model folder; needs no PyTorch."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

CONTRACT = 1

COLORS = {
    "Brainstem": (0, 158, 115),
    "SpinalCord": (240, 228, 66),
    "Parotid_L": (0, 114, 178),
    "Parotid_R": (213, 94, 0),
    "Eye_L": (86, 180, 233),
    "Eye_R": (204, 121, 167),
}
"""Okabe and Ito's palette, told apart by colour-blind readers too."""

NAMES = {
    "name": re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"),
    "version": re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,31}"),
}


def unusable(name: str | None, version: str | None) -> str:
    """Why one of them could not name a model's folder, which `hn-segmenter model add` gives it; "" if both could."""
    for key, value in (("name", name), ("version", version)):
        if value is not None and (not NAMES[key].fullmatch(value) or value.endswith(".")):
            return f"--{key} {value} cannot name a folder: use letters, digits, dots, - and _, and few."
    return ""


def concept(value: str, meaning: str) -> dict:
    return {"value": value, "scheme": "SCT", "meaning": meaning}


def write_json(path: Path, values: dict) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_sums(folder: Path) -> None:
    """SHA256SUMS of the three files, as sha256sum prints them."""
    names = ("model.json", "network.onnx", "organs.json")
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="ascii")
