"""Choices of this machine, kept in a JSON file where the system keeps such files."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from .errors import WrongUsage
from .result import write_json

APPLICATION = "hn-segmenter"


@dataclass
class Settings:
    """What the command line falls back to.

    image: reference of the container image, best with its digest (name@sha256:...); docker_host: URL of the
    engine, None for the current Docker context; runtime: auto, docker or local; names: path of the table of the
    clinic's own structure names; memory: memory limit of the container as Docker writes it; timeout_s: of one run.
    """

    image: str = "hn-segmenter:latest"
    docker_host: str | None = None
    runtime: str = "auto"
    names: str | None = None
    memory: str = "3g"
    timeout_s: float = 1800.0

    @classmethod
    def load(cls, path: Path | None = None) -> Settings:
        """Raises WrongUsage if the file is there and cannot be used; absent means the defaults."""
        path = path or settings_file()
        if not path.is_file():
            return cls()
        try:
            values = dict(json.loads(path.read_text(encoding="utf-8")))
            unknown = set(values) - {field.name for field in fields(cls)}
        except (OSError, ValueError, TypeError) as error:
            raise WrongUsage(f"The settings file {path} is not valid JSON: correct it or delete it.") from error
        if unknown:
            raise WrongUsage(f"The settings file {path} has unknown entries ({', '.join(sorted(unknown))}): remove them.")
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
