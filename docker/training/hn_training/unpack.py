"""A model folder becomes a checkpoint again, to go on from the shipped network with one's own patients."""

from __future__ import annotations

import json
import os
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import nn

from . import cache
from .config import Config, ConfigError
from .export import WithSoftmax, largest_difference
from .networks import build
from .patches import loader

MEASURED_BATCHES = 24
NAME, CONVOLUTION, ITS_NORM = "monai-segresnet", ".conv1.conv.weight", ".norm2"
"""Export merges SegResNet's second norm of a block into the convolution before it."""


def unpack(model: Path, config: Config, out: Path) -> float:
    """Writes a checkpoint for `start_from` with the network of a model folder; gives the largest difference of probabilities.

    What export merged into convolutions becomes batch norms again, whose statistics are measured on patches of the
    configuration's training patients, so that training starts where export stopped. Thresholds stay in the last bias. The checkpoint
    has the model's organs, whichever the configuration names, and counts its steps. Raises ConfigError if the model is of another network.
    """
    if config.network.name != NAME:
        raise ConfigError(f'[network] name: only "{NAME}" can be unpacked, not "{config.network.name}".')
    network = build(config)
    try:
        graph = onnx.load(model / "network.onnx").graph
        steps = read(model / "model.json")["trained"]["total_steps"]
        channels = {organ["channel"] for organ in read(model / "organs.json")["organs"]}
        network.present.copy_(torch.tensor([n == 0 or n in channels for n in range(network.present.numel())]).view(network.present.shape))
        biases = fill(network, {entry.name: torch.tensor(numpy_helper.to_array(entry)) for entry in graph.initializer}, graph)
    except (KeyError, RuntimeError, ValueError) as error:
        raise ConfigError(f'{model} does not hold a "{NAME}" of this program ({error}).') from None
    measure(network.eval(), biases, config)
    state = {"config": config.as_dict(), "network": network.state_dict(), "average": network.state_dict(), "step": 0,
             "seconds": 0.0, "total_steps": steps}
    torch.save(state, out.with_suffix(".part"))
    os.replace(out.with_suffix(".part"), out)
    return largest_difference(WithSoftmax(network).eval(), model / "network.onnx")


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def fill(network: nn.Module, weights: dict[str, torch.Tensor], graph: onnx.GraphProto) -> dict[str, torch.Tensor]:
    """Loads the weights; norms that are merged into convolutions add nothing but a bias, which is returned by their names."""
    own = network.state_dict()
    known = {name.removeprefix("network."): value for name, value in weights.items()}
    state = {name: known.get(name, value) for name, value in own.items()}
    merged = [name for name in own if name.endswith(CONVOLUTION)]
    places = [list(node.input) for node in graph.node if node.op_type == "Conv" and node.input[1].startswith("onnx::")]
    if len(places) != len(merged):
        raise ValueError(f"{len(places)} merged convolutions instead of {len(merged)}")
    biases = {}
    for name, (_, weight, bias) in zip(merged, places):
        state[name] = weights[weight]
        biases[name.removesuffix(CONVOLUTION) + ITS_NORM] = weights[bias]
    lost = [name for name in own if name not in known and not name.endswith(("num_batches_tracked", "present", CONVOLUTION))
            and name.rpartition(".")[0] not in biases]
    if lost:
        raise ValueError(f"{lost[0]} is missing")
    network.load_state_dict(state)
    for name, bias in biases.items():
        restore(network.get_submodule(name), torch.zeros_like(bias), torch.ones_like(bias), bias)
    return biases


@torch.no_grad()
def restore(norm: nn.Module, mean: torch.Tensor, variance: torch.Tensor, bias: torch.Tensor) -> None:
    """Statistics for a batch norm, and the scale and shift with which it only adds `bias`."""
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.weight.copy_((variance + norm.eps).sqrt())
    norm.bias.copy_(bias + mean)


@torch.inference_mode()
def measure(network: nn.Module, biases: dict[str, torch.Tensor], config: Config) -> None:
    """Gives the merged norms the mean and variance of what reaches them."""
    sums = {name: torch.zeros(3, len(bias), dtype=torch.float64) for name, bias in biases.items()}

    def watch(name: str):
        def add(_module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
            values = inputs[0].double()
            for row, power in zip(sums[name], (values**0, values, values**2)):
                row += power.sum((0, 2, 3, 4))
        return add

    hooks = [network.get_submodule(name).register_forward_pre_hook(watch(name)) for name in biases]
    for number, batch in enumerate(loader(cache.build(config, "train"), config, 0)):
        if number == MEASURED_BATCHES:
            break
        network(torch.as_tensor(batch["image"]))
    for hook in hooks:
        hook.remove()
    for name, (count, total, squares) in sums.items():
        mean = total / count
        restore(network.get_submodule(name), mean.float(), (squares / count - mean**2).float(), biases[name])
