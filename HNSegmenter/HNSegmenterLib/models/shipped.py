"""The network's program and the model that came with it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ..errors import RuntimeFault
from .folder import ModelInfo, as_shipped, damaged, read_folder


def network_folder() -> Path:
    """The folder with predict.py: HNSEG_NETWORK, what was installed beside this library, or the source tree's docker/.

    Raises RuntimeFault if there is none.
    """
    library = Path(__file__).resolve().parents[1]
    chosen = os.environ.get("HNSEG_NETWORK")
    for folder in [Path(chosen)] if chosen else [library / "network", library.parents[1] / "docker"]:
        if (folder / "predict.py").is_file():
            return folder
    raise RuntimeFault(
        "The network is not installed on this computer (no predict.py): use --runtime docker, or name the folder "
        "docker/ of the sources in HNSEG_NETWORK."
    )


def shipped_folder() -> Path:
    """Raises RuntimeFault where the network is not installed."""
    return network_folder() / "hn_network" / "model"


def shipped_model(verify: bool = False) -> ModelInfo | None:
    """None where the network is not installed; a damaged one is one with a fault."""
    try:
        folder = shipped_folder()
    except RuntimeFault:
        return None
    try:
        return as_shipped(read_folder(folder, verify))
    except RuntimeFault as fault:
        return as_shipped(damaged(*_called(folder), folder, fault.sentence))


def _called(folder: Path) -> tuple[str, str]:
    """Name and version by which a damaged model is asked for, if model.json still tells them."""
    try:
        about = json.loads((folder / "model.json").read_bytes())
        return str(about["name"]), str(about["version"])
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return "shipped", "unknown"
