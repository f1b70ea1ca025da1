"""The model folder: network, organs and preprocessing travel together under one digest."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from .errors import DamagedModel
from .nnunet import rules as nnunet

CONTRACT = 1
OWN, NNUNET = "hn-network", "nnunet"
FILES = ("model.json", "network.onnx", "organs.json")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+^~-]*")  # TG-263 names: they become file names
Number = TypeVar("Number", int, float)
PACKAGED = Path(__file__).parent / "model"


@dataclass(frozen=True)
class Organ:
    """One line of organs.json. channel: index in the network's output, None if the model does not have it."""

    name: str
    label: int
    color: list[int]
    code: dict | None
    laterality: dict | None
    channel: int | None


@dataclass(frozen=True)
class Preprocessing:
    """How the CT becomes the shipped network's input: (HU clipped to hu_clip - shift) / scale on an LPS grid.

    spacing_mm: (x, y, z); resolution_mm: voxels (x, y, z) that finer CTs are averaged to, those of the training CTs (0:
    not averaged); patch: (z, y, x) voxels of one tile; overlap: share of a tile;
    multiple: spatial sizes must be divisible by it.
    """

    spacing_mm: tuple[float, float, float]
    resolution_mm: tuple[float, float, float]
    hu_clip: tuple[float, float]
    hu_shift: float
    hu_scale: float
    multiple: int
    patch: tuple[int, int, int]
    overlap: float


@dataclass(frozen=True)
class Model:
    """A verified model folder. preprocessing: what the model's method goes by."""

    network: bytes
    name: str
    version: str
    digest: str
    preprocessing: Preprocessing | nnunet.Rules
    organs: tuple[Organ, ...]

    @property
    def method(self) -> str:
        return NNUNET if isinstance(self.preprocessing, nnunet.Rules) else OWN

    def describe(self) -> dict:
        return {"name": self.name, "version": self.version, "digest": self.digest}


def load_model(folder: Path) -> Model:
    """Read and verify a model folder. Raises DamagedModel."""
    content, digest = _verified_files(folder)
    try:
        about = json.loads(content["model.json"])
        if about["contract"] != CONTRACT:
            raise DamagedModel(
                f"The model follows contract {about['contract']}, this program knows {CONTRACT}: update one."
            )
        rules = _rules(about)
        organs = _organs(json.loads(content["organs.json"])["organs"])
        if isinstance(rules, nnunet.Rules):
            for organ in organs:
                nnunet.check_channel(organ.channel, rules)
        return Model(content["network.onnx"], about["name"], about["version"], digest, rules, organs)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DamagedModel(
            f"The model's description is incomplete ({type(error).__name__}: {error}): install the model again."
        ) from error


def _verified_files(folder: Path) -> tuple[dict[str, bytes], str]:
    try:
        sums = (folder / "SHA256SUMS").read_bytes()
        content = {name: (folder / name).read_bytes() for name in FILES}
    except OSError as error:
        missing = Path(error.filename).name if error.filename else "a file"
        raise DamagedModel(
            f"The model folder is incomplete, {missing} can't be read: install the model again."
        ) from error
    lines = (line.split(maxsplit=1) for line in sums.decode("ascii", "replace").splitlines())
    expected = {line[1]: line[0] for line in lines if len(line) == 2}
    for name, data in content.items():
        if expected.get(name) != hashlib.sha256(data).hexdigest():
            raise DamagedModel(
                f"The model's {name} does not match its checksum, it is damaged: install the model again."
            )
    return content, "sha256:" + hashlib.sha256(sums).hexdigest()


def _rules(about: dict) -> Preprocessing | nnunet.Rules:
    method = about.get("method", OWN)
    if method not in (OWN, NNUNET):
        raise DamagedModel(
            f"The model's method is {method!r}, this program knows {OWN!r} and {NNUNET!r}: update it, or choose "
            "another model."
        )
    return nnunet.parse(about) if method == NNUNET else _preprocessing(about["preprocessing"])


def _preprocessing(entry: dict) -> Preprocessing:
    if entry["axes"] != "LPS":
        raise ValueError(f"axes {entry['axes']!r} instead of 'LPS'")
    lowest, highest = entry["hu_clip"]
    return Preprocessing(
        spacing_mm=_three(map(float, entry["spacing_mm"])),
        resolution_mm=_three(map(float, entry.get("resolution_mm", (0, 0, 0)))),
        hu_clip=(float(lowest), float(highest)),
        hu_shift=float(entry["hu_shift"]),
        hu_scale=float(entry["hu_scale"]),
        multiple=int(entry["multiple"]),
        patch=_three(map(int, entry["patch"])),
        overlap=float(entry["overlap"]),
    )


def _three(values: Iterable[Number]) -> tuple[Number, Number, Number]:
    """Raises ValueError for more or fewer."""
    x, y, z = values
    return x, y, z


def _organs(entries: list[dict]) -> tuple[Organ, ...]:
    organs = tuple(
        Organ(
            entry["name"],
            int(entry["label"]),
            entry["color"],
            entry.get("code"),
            entry.get("laterality"),
            entry["channel"],
        )
        for entry in entries
    )
    if not any(organ.channel is not None for organ in organs):
        raise ValueError("no organ has a channel")
    if len({organ.name for organ in organs}) < len(organs) or len({organ.label for organ in organs}) < len(organs):
        raise ValueError("two organs share a name or label")
    for organ in organs:
        if not NAME.fullmatch(organ.name):
            raise ValueError(f"{organ.name!r} cannot name a file")
        if organ.channel is not None and not (isinstance(organ.channel, int) and organ.channel >= 0):
            raise ValueError(f"channel {organ.channel!r} of an organ is no number of an output")
    return organs
