"""Checkpoints as files."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError

import torch

from ..config import ConfigError


def write(state: dict, path: Path) -> None:
    """A checkpoint in place of an older one, whole or not at all."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def read(path: Path) -> dict:
    """A run's checkpoint; raises ConfigError if the file is none."""
    try:
        return {"origin": {}} | torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise ConfigError(f"{path} is not a checkpoint ({error}).") from None
