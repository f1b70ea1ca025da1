"""The training's settings: one TOML file, read into typed records."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path

ORGANS = ("Brainstem", "SpinalCord", "Parotid_L", "Parotid_R", "Eye_L", "Eye_R")
"""Class order of the network: class i + 1 is ORGANS[i], class 0 the background."""

SIDES = {"Parotid_L": "Parotid_R", "Eye_L": "Eye_R"}
"""Organs that change places when the patient is mirrored."""


@dataclass(frozen=True)
class Data:
    train: str
    validation: str
    index: str
    cache: str
    labels: dict[str, int]


@dataclass(frozen=True)
class Grid:
    """Spacing in mm and patch in voxels, both x, y, z."""

    spacing_mm: tuple[float, float, float]
    patch: tuple[int, int, int]

    @property
    def patch_zyx(self) -> tuple[int, int, int]:
        return tuple(reversed(self.patch))


@dataclass(frozen=True)
class Augment:
    rotation_deg: float
    scale: float
    flip: float
    blank: float
    couch: float
    mask: float
    blur: float
    noise_hu: float
    offset_hu: float
    gain: float


@dataclass(frozen=True)
class Optimise:
    seed: int
    steps: int
    minutes: float
    batch: int
    learning_rate: float
    weight_decay: float
    warmup_steps: int
    ema: float
    threads: int
    device: str
    checkpoint_s: float
    validate_s: float
    validate_patients: int


@dataclass(frozen=True)
class Config:
    data: Data
    grid: Grid
    augment: Augment
    optimise: Optimise

    def absent(self) -> list[int]:
        """Classes that no label teaches."""
        return [i for i, organ in enumerate(ORGANS, start=1) if organ not in self.data.labels]

    def as_dict(self) -> dict:
        return asdict(self)


def load(path: Path) -> Config:
    """Reads a TOML file; raises KeyError or TypeError that names a missing or unknown setting."""
    return from_dict(tomllib.loads(Path(path).read_text(encoding="utf-8")))


def from_dict(tables: dict) -> Config:
    grid = {key: tuple(value) for key, value in tables["grid"].items()}
    unknown = set(tables["data"]["labels"]) - set(ORGANS)
    if unknown:
        raise KeyError(f"[data.labels] names organs the network has no class for: {sorted(unknown)}")
    return Config(Data(**tables["data"]), Grid(**grid), Augment(**tables["augment"]),
                  Optimise(**tables["optimise"]))
