"""Which networks this computer has: the one that came with the program, and those that were added."""

from __future__ import annotations

from .choice import Choice, parse, shares
from .description import ModelOrgan
from .folder import ModelInfo, read_folder
from .shipped import network_folder, shipped_model
from .store import add, all_models, find, models_folder, reference, remove

__all__ = [
    "Choice", "ModelInfo", "ModelOrgan", "add", "all_models", "find", "models_folder", "network_folder", "parse",
    "read_folder", "reference", "remove", "shares", "shipped_model",
]  # fmt: skip
