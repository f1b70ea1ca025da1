"""Choices of this machine, kept in a JSON file where the system keeps such files."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from .errors import WrongUsage
from .result import write_json

APPLICATION = "hn-segmenter"

# What each entry may be.
CHECKS = {
    "image": lambda value: isinstance(value, str) and bool(value),
    "docker_host": lambda value: value is None or isinstance(value, str),
    "runtime": lambda value: value in ("auto", "docker", "local"),
    "names": lambda value: value is None or isinstance(value, str),
    "memory": lambda value: isinstance(value, (str, int)) and not isinstance(value, bool),
    "timeout_s": lambda value: isinstance(value, (int, float)) and value > 0,
    "models": lambda value: isinstance(value, list) and all(isinstance(item, str) and item for item in value),
}


@dataclass
class Settings:
    """What the command line falls back to.

    image: reference of the container image, best with its digest (name@sha256:...); docker_host: URL of the
    engine, None for the current Docker context; runtime: auto, docker or local; names: path of the table of the
    clinic's own structure names; memory: memory limit of the container as Docker writes it; timeout_s: of one run;
    models: what was chosen with  hn-segmenter model use  (models.choice), empty for the one that came with the program.
    """

    image: str = "hn-segmenter:latest"
    docker_host: str | None = None
    runtime: str = "auto"
    names: str | None = None
    memory: str = "3g"
    timeout_s: float = 1800.0
    models: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path | None = None) -> Settings:
        """Raises WrongUsage if the file is there and cannot be used; absent means the defaults."""
        path = path or settings_file()
        if not path.is_file():
            return cls()
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(values, dict):
                raise TypeError
            unknown = set(values) - {one.name for one in fields(cls)}
        except (OSError, ValueError, TypeError) as error:
            raise WrongUsage(f"The settings file {path} is not valid JSON: correct it or delete it.") from error
        if wrong := [name for name, value in values.items() if name in CHECKS and not CHECKS[name](value)]:
            raise WrongUsage(
                f"The settings file {path} has no usable value for {', '.join(wrong)}: correct it or take it out."
            )
        if unknown:
            raise WrongUsage(
                f"The settings file {path} has unknown entries ({', '.join(sorted(unknown))}): remove them."
            )
        return cls(**values)

    def save(self, path: Path | None = None) -> Path:
        path = path or settings_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, asdict(self))
        return path


def settings_file() -> Path:
    """HNSEG_SETTINGS, or settings.json in the user's configuration folder."""
    if chosen := os.environ.get("HNSEG_SETTINGS"):
        return Path(chosen)
    from platformdirs import user_config_path

    return user_config_path(APPLICATION, appauthor=False) / "settings.json"


def jobs_folder() -> Path:
    """HNSEG_JOBS, or the folder of running jobs in the user's cache: readable by this user alone."""
    if chosen := os.environ.get("HNSEG_JOBS"):
        return Path(chosen)
    from platformdirs import user_cache_path

    return user_cache_path(APPLICATION, appauthor=False) / "jobs"
