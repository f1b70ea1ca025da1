"""Several runs that started from the same weights become one: the mean of what they learnt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ..config import ConfigError
from .checkpoints import read, write


def average(checkpoints: Sequence[Path], out: Path) -> None:
    """Writes a checkpoint with the mean of the averaged weights (and batch statistics) of `checkpoints`.

    Runs on several machines or cores so count as one (Wortsman et al., "Model soups", ICML 2022). The steps of all
    count, those before their common start once. Raises ConfigError if they are not runs of one network from one start.
    """
    states = [read(path) for path in checkpoints]
    origins = {(state["origin"].get("sha256"), state["config"]["network"]["name"]) for state in states}
    if len(origins) > 1 or not states[0]["origin"]:
        raise ConfigError(
            "The checkpoints are not of one network and one [optimise] start_from: only such runs can be averaged."
        )
    merged, before = dict(states[0]), states[0]["origin"]["total_steps"]
    merged["average"] = merged["network"] = {
        key: mean([state["average"][key] for state in states]) for key in merged["average"]
    }
    merged["step"], merged["seconds"] = (sum(state[key] for state in states) for key in ("step", "seconds"))
    merged["total_steps"] = before + merged["step"]
    write(merged, out)


def blend(before: Path, after: Path, share: float, out: Path) -> None:
    """Writes the checkpoint `after` with a `share` of the averaged weights of `before`, from which it started.

    Between both lie weights that serve old and new patients better than either where the new ones are few (Wortsman et
    al., "Robust fine-tuning of zero-shot models", CVPR 2022).
    """
    state, old = read(after), read(before)["average"]
    state["average"] = {
        key: value.lerp(old[key], share) if value.is_floating_point() else value
        for key, value in state["average"].items()
    }
    write(state, out)


def mean(values: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack(values).mean(0) if values[0].is_floating_point() else values[0]
