"""The training's settings: one TOML file, read into typed records."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import TypeVar

ORGANS = ("Brainstem", "SpinalCord", "Parotid_L", "Parotid_R", "Eye_L", "Eye_R")
"""Class order of the network: class i + 1 is ORGANS[i], class 0 the background."""

SIDES = {"Parotid_L": "Parotid_R", "Eye_L": "Eye_R"}
"""Organs that change places when the patient is mirrored."""

NETWORKS = ("densevnet", "monai-segresnet")

SHARES = ("flip", "blank", "blank_box", "fill", "couch", "mask", "blur", "scale", "gain", "ema")
"""Settings between 0 and 1."""
AT_LEAST_ONE = ("steps", "batch", "warmup_steps", "threads", "validate_patients", "workers")
OVER_ZERO = ("learning_rate", "checkpoint_s", "validate_s")


class ConfigError(ValueError):
    """The configuration cannot be used; the message says which setting and why."""


def mirrored_classes() -> list[int]:
    """Class i of a patient becomes class mirrored_classes()[i] of the mirrored one, and back."""
    order = list(range(len(ORGANS) + 1))
    for left, right in SIDES.items():
        a, b = ORGANS.index(left) + 1, ORGANS.index(right) + 1
        order[a], order[b] = b, a
    return order


@dataclass(frozen=True)
class Data:
    train: str
    validation: str
    index: str
    cache: str
    labels: dict[str, int]
    validation_index: str = ""

    def index_of(self, folder: Path) -> str:
        """The index that tells of a patient's folder; "" if there is none."""
        validation = self.validation_index and folder.parent == Path(self.validation)
        return self.validation_index if validation else self.index


Item = TypeVar("Item")


def three(items: Iterable[Item]) -> tuple[Item, Item, Item]:
    """One for each axis."""
    first, second, third = items
    return first, second, third


@dataclass(frozen=True)
class Grid:
    """Spacing in mm and patch in voxels, both x, y, z.

    resolution_mm: finer CTs are averaged to look as if their voxels were as large, in training and when segmenting;
        0: as they are.
    """

    spacing_mm: tuple[float, float, float]
    patch: tuple[int, int, int]
    resolution_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def patch_zyx(self) -> tuple[int, int, int]:
        return three(reversed(self.patch))


@dataclass(frozen=True)
class Network:
    name: str = "densevnet"


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
    blank_box: float = 0.0
    fill: float = 0.0


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
    validate_s: float = 900.0
    validate_patients: int = 6
    start_from: str = ""
    workers: int = 1


@dataclass(frozen=True)
class Config:
    data: Data
    grid: Grid
    augment: Augment
    optimise: Optimise
    network: Network = Network()

    def absent(self) -> list[int]:
        """Classes that no label teaches."""
        return [i for i, organ in enumerate(ORGANS, start=1) if organ not in self.data.labels]

    def as_dict(self) -> dict:
        return asdict(self)


def load(path: Path) -> Config:
    """Reads a TOML file; raises ConfigError that names what is missing, unknown or out of range."""
    return from_dict(tables_of(path))


def from_dict(tables: dict) -> Config:
    """Tables of settings to a checked configuration; raises ConfigError."""
    kinds = {"data": Data, "grid": Grid, "augment": Augment, "optimise": Optimise, "network": Network}
    config = Config(**records(kinds, tables))
    check(config)
    return config


def tables_of(path: Path) -> dict:
    """The tables of a TOML file; raises ConfigError that names the file if it cannot be read or is none."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"The configuration {path} cannot be read: {error.strerror}.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from None


def records(kinds: dict[str, type], tables: dict) -> dict:
    """Each table as its record; raises ConfigError for tables of other names."""
    unknown = set(tables) - set(kinds)
    if unknown:
        raise ConfigError(f"The configuration has unknown tables: {', '.join(sorted(unknown))}.")
    return {name: record(kind, name, tables.get(name, {})) for name, kind in kinds.items()}


def record(kind: type, table: str, values: dict):
    """One table as its record; a list becomes a tuple."""
    known = {field.name: field for field in fields(kind)}
    needed = [name for name, field in known.items() if field.default is field.default_factory is MISSING]
    missing = [name for name in needed if name not in values]
    unknown = sorted(set(values) - set(known))
    if missing or unknown:
        what = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"has unknown {', '.join(unknown)}"] * bool(unknown)
        raise ConfigError(f"[{table}] {' and '.join(what)}.")
    for name, value in values.items():
        check_kind(table, name, str(known[name].type), value)
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def check_kind(table: str, name: str, kind: str, value) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    fits = {
        "str": isinstance(value, str),
        "int": number and isinstance(value, int),
        "float": number and value >= 0,
        "dict[str, int]": isinstance(value, dict) and all(type(v) is int and v > 0 for v in value.values()),
        "dict[str, float]": isinstance(value, dict) and all(type(v) in (int, float) and v >= 0 for v in value.values()),
        "tuple[str, ...]": isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value),
    }.get(
        kind,
        isinstance(value, (list, tuple)) and len(value) == 3 and all(type(v) in (int, float) and v >= 0 for v in value),
    )
    if not fits:
        raise ConfigError(f"[{table}] {name} cannot be {value!r}.")


def check(config: Config) -> None:
    """Raises ConfigError where a value is of the right kind but cannot be meant."""
    _check_labels(config.data.labels)
    for table in (config.augment, config.optimise):
        for name, value in asdict(table).items():
            _check_number(name, value)
    if config.network.name not in NETWORKS:
        raise ConfigError(f"[network] name = {config.network.name!r}; there are {', '.join(NETWORKS)}.")
    if not min(config.grid.spacing_mm) > 0:
        raise ConfigError(f"[grid] spacing_mm = {list(config.grid.spacing_mm)}: every size must be above 0.")
    if any(size % 16 or size == 0 for size in config.grid.patch):
        raise ConfigError(f"[grid] patch = {list(config.grid.patch)}: every size must be divisible by 16.")


def _check_labels(labels: dict[str, int]) -> None:
    unknown = sorted(set(labels) - set(ORGANS))
    if unknown or not labels:
        raise ConfigError(f"[data.labels] names {', '.join(unknown) or 'no organ'}; there are {', '.join(ORGANS)}.")
    if len(set(labels.values())) < len(labels):
        raise ConfigError("[data.labels] gives two organs the same value.")
    for left, right in SIDES.items():
        if (left in labels) != (right in labels):
            raise ConfigError(f"[data.labels] needs both {left} and {right}, or neither: mirroring swaps them.")


def _check_number(name: str, value: float | str) -> None:
    low, high = (0, 1) if name in SHARES else (1, None) if name in AT_LEAST_ONE else (0, None)
    if isinstance(value, str):
        return
    if value < low or (high is not None and value > high) or (name in OVER_ZERO and value == 0):
        raise ConfigError(f"{name} = {value} is out of range.")
