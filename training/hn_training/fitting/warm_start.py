"""Weights of another run, whose set of organs may have been smaller, to start from."""

from __future__ import annotations

import hashlib
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import nn

from ..config import ConfigError

NEW_CLASS_STD = 0.01
"""Standard deviation of a new class's weights: its logit starts near 0, well below a trained background's."""


def load(network: nn.Module, average: nn.Module, checkpoint: Path) -> dict:
    """Gives both networks the checkpoint's averaged weights, which are the better start.

    Classes that the checkpoint's run did not have get the same small random weights in both. Returns where
    the weights come from, {"sha256", "total_steps"}; raises ConfigError if they don't fit.
    """
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        weights = state["average"]
        for target in (network, average):
            new = target.present & ~weights["present"].bool().to(target.present.device)
            target.load_state_dict(weights | {"present": target.present})
    except FileNotFoundError:
        raise ConfigError(f"[optimise] start_from: there is no file {checkpoint}.") from None
    except (RuntimeError, KeyError, UnpicklingError) as error:
        raise ConfigError(
            f"[optimise] start_from: {checkpoint} is not a checkpoint of this network ({error})."
        ) from None
    restart(network, average, new.flatten())
    return {
        "sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
        "total_steps": state.get("total_steps", state["step"]),
    }


@torch.no_grad()
def restart(network: nn.Module, average: nn.Module, classes: torch.Tensor) -> None:
    network.classify.weight[classes] = torch.randn_like(network.classify.weight[classes]) * NEW_CLASS_STD
    network.classify.bias[classes] = 0
    average.classify.load_state_dict(network.classify.state_dict())
