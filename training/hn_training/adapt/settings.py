"""The settings of an adaptation: one TOML file, beside what the model folder itself says."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from ..config import ORGANS, Augment, Config, ConfigError, Data, Grid, Network, Optimise, check, records, tables_of
from ..packing.unpack import network_of

NEVER = 1 << 20
"""Label values from here on stand in no file: for organs that the model knows and the patients' contours lack."""

PATHS = ("folder", "images", "index")


@dataclass(frozen=True)
class Patients:
    """The patients with better contours; see adapt.toml."""

    folder: str
    labels: dict[str, int]
    images: str = ""
    index: str = ""
    hands: tuple[str, ...] = ()
    teach: tuple[str, ...] = ()
    least_context: float = 0.5


@dataclass(frozen=True)
class Old:
    """What stays of the model before: a share of its weights, and the data that taught it; folder "" for none."""

    weights: float = 0.5
    folder: str = ""
    index: str = ""
    labels: dict[str, int] = field(default_factory=dict)
    share: float = 0.4
    unknown: tuple[str, ...] = ()
    unknown_ends_mm: dict[str, float] = field(default_factory=dict)
    leave_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stop:
    """Early stopping: every `look_every` steps, one in `one_in` of the learning patients, set aside, is scored.

    one_in 0: nobody is set aside, and every run takes all its steps.
    """

    one_in: int = 4
    look_every: int = 60
    patience: int = 6


@dataclass(frozen=True)
class Settings:
    patients: Patients
    augment: Augment
    optimise: Optimise
    old: Old = Old()
    stop: Stop = Stop()


def load(path: Path) -> Settings:
    """Reads a TOML file; raises ConfigError that names what is missing, unknown or out of range.

    Paths that are not there from the working directory are taken from the file's folder, so that a collection of
    `hn-segmenter node collect`, which brings its settings along, can be moved.
    """
    return from_dict(beside(tables_of(path), Path(path).parent))


def beside(tables: dict, home: Path) -> dict:
    """The tables with such paths made whole."""

    def placed(value):
        there = isinstance(value, str) and value and not Path(value).exists() and (home / value).exists()
        return str(home / value) if there else value

    return {
        name: {key: placed(value) if key in PATHS else value for key, value in table.items()}
        if isinstance(table, dict)
        else table
        for name, table in tables.items()
    }


def from_dict(tables: dict) -> Settings:
    kinds = {"patients": Patients, "old": Old, "augment": Augment, "optimise": Optimise, "stop": Stop}
    settings = Settings(**records(kinds, tables))
    for table, organs in (
        ("patients.labels", settings.patients.labels),
        ("old.labels", settings.old.labels),
        ("old", settings.old.unknown),
        ("old.unknown_ends_mm", settings.old.unknown_ends_mm),
    ):
        strangers = sorted(set(organs) - set(ORGANS))
        if strangers:
            raise ConfigError(f"[{table}] names {', '.join(strangers)}; there are {', '.join(ORGANS)}.")
    if not settings.patients.labels:
        raise ConfigError("[patients.labels] names no organ.")
    if settings.old.folder and not settings.old.labels:
        raise ConfigError("[old.labels] names no organ.")
    for name, value in (
        ("share", settings.old.share),
        ("weights", settings.old.weights),
        ("least_context", settings.patients.least_context),
    ):
        if not 0 <= value < 1 and not (name == "least_context" and value == 1):
            raise ConfigError(f"{name} = {value} is out of range.")
    if settings.stop.one_in == 1 or min(settings.stop.look_every, settings.stop.patience) < 1:
        raise ConfigError("[stop] one_in must be 0 (nobody) or 2 or more, look_every and patience 1 or more.")
    return settings


def training_config(settings: Settings, model: Path, cache: Path) -> Config:
    """What the trainer needs: grid, network and organs of the model folder, everything else of `settings`.

    Raises ConfigError if the folder holds no network of this program.
    """
    name = network_of(model)
    try:
        prepared = json.loads((model / "model.json").read_text(encoding="utf-8"))["preprocessing"]
        grid = Grid(
            tuple(prepared["spacing_mm"]),
            tuple(reversed(prepared["patch"])),
            tuple(prepared.get("resolution_mm", (0, 0, 0))),
        )
        known = [
            organ["name"]
            for organ in json.loads((model / "organs.json").read_text(encoding="utf-8"))["organs"]
            if organ["in_model"]
        ]
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{model} is not a model folder of this program ({error}).") from None
    labels = {organ: NEVER + number for number, organ in enumerate(known)} | settings.patients.labels
    data = Data(
        train=settings.patients.folder, validation=settings.patients.folder, index="", cache=str(cache), labels=labels
    )
    config = Config(data, grid, settings.augment, settings.optimise, Network(name))
    check(config)
    return config
