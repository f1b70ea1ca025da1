"""Model folders for tests: copies of real ones, changed, with checksums that are right again."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from Testing.machine import ROOT

SHIPPED = ROOT / "docker" / "hn_network" / "model"
TWO_ORGANS = ROOT / "training" / "fixtures" / "two_organs"  # thresholds: runs in no time
NNUNET_WAY = {
    "axes": "LPS", "transpose": [0, 1, 2], "spacing_mm": [2.5, 1.0, 1.0], "patch": [64, 128, 128],
    "hu_clip": [-900.0, 900.0], "hu_shift": 50.0, "hu_scale": 300.0, "image_order": 3, "image_order_z": 0,
    "logits_order": 1, "logits_order_z": 0, "separate_z": None, "anisotropy": 3.0, "step": 0.5,
    "mirror_axes": [0, 1, 2], "mirroring": False,
}  # fmt: skip


def model(
    folder: Path,
    source: Path = TWO_ORGANS,
    *,
    organs: Sequence[str] | None = None,
    change: Callable[[dict, list[dict]], None] | None = None,
    **about: Any,
) -> Path:
    """A copy of source: of its organs only those named, entries of model.json over its own (None deletes one),
    and what `change` does to model.json's object and the list of organs."""
    shutil.copytree(source, folder)
    described, listed = read(folder)
    if organs is not None:
        listed = [organ for organ in listed if organ["name"] in organs]
    for key, value in about.items():
        described[key] = value
        if value is None:
            del described[key]
    if change:
        change(described, listed)
    (folder / "model.json").write_text(json.dumps(described))
    (folder / "organs.json").write_text(json.dumps({"organs": listed}))
    sum_up(folder)
    return folder


def read(folder: Path) -> tuple[dict, list[dict]]:
    """model.json's object, organs.json's list."""
    described, listed = (json.loads((folder / name).read_text()) for name in ("model.json", "organs.json"))
    return described, listed["organs"]


def sum_up(folder: Path) -> None:
    lines = [
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in ("model.json", "network.onnx", "organs.json")
    ]
    (folder / "SHA256SUMS").write_text("".join(lines))


def parotids(folder: Path) -> Path:
    """The shipped network under another name, which draws the parotid glands alone."""
    return model(folder, SHIPPED, organs=("Parotid_L", "Parotid_R"), name="clinic-parotids", version="1.0")
