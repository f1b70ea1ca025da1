"""A model folder becomes a checkpoint again, to go on from the shipped network with one's own patients."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import onnx
import torch
from google.protobuf.message import DecodeError
from monai.networks.blocks.segresnet_block import ResBlock
from onnx import numpy_helper
from torch import nn

from ..config import Config, ConfigError
from ..data import cache
from ..data.patches import loader
from ..fitting.checkpoints import write
from ..networks.by_name import NETWORKS, build
from ..networks.densevnet import SIZE_MULTIPLE, ConvBlock
from .export import TOLERANCE, WithSoftmax, largest_difference

MEASURED_BATCHES = 24
MERGED = {ConvBlock: ("0", "1"), ResBlock: ("conv1.conv", "norm2")}
"""Kinds of blocks whose norm export merges into the convolution before it:
names of that convolution and that norm in a block."""
LEARNT_SIZE = 0.08
"""Root mean square of a trained filter's weights (0.06 to 0.14 in those of the shipped networks that nothing is merged
into, 0.01 to 0.03 in the others). A norm after it makes its size meaningless but for training:
at one learning rate a small filter forgets sooner."""
LARGEST_GROWTH = 100.0


@dataclass(frozen=True)
class Merged:
    """What a norm does of which export left only a bias, per channel:
    it divides by the `growth` of the filter before it, and adds the `bias`."""

    growth: torch.Tensor
    bias: torch.Tensor


def network_of(model: Path) -> str:
    """The name of a model folder's network, as [network] has it; raises ConfigError if this program doesn't know it."""
    try:
        about = read(model / "model.json")
        name = about.get("trained", {}).get("network") or about["name"].removeprefix("hn-")  # older folders
    except (OSError, ValueError, KeyError, AttributeError):
        raise ConfigError(f"{model} is not a model folder: it has no model.json that names its network.") from None
    if name not in NETWORKS:
        raise ConfigError(f'{model} holds a "{name}", which cannot be unpacked; there are {", ".join(NETWORKS)}.')
    return name


def unpack(model: Path, config: Config, out: Path) -> float:
    """Writes a checkpoint for `start_from` with the network of a model folder;
    gives the largest difference of probabilities.

    The batch norms are measured on patches of the configuration's training patients. See `checkpoint`.
    """
    return checkpoint(model, config, out, lambda: loader(cache.build(config, "train"), config, 0))


def checkpoint(model: Path, config: Config, out: Path, batches: Callable[[], Iterable[dict]]) -> float:
    """Writes a checkpoint with the network of a model folder; gives the largest difference of probabilities.

    What export merged into convolutions becomes batch norms again, whose statistics are measured on what `batches()`
    gives (dicts with "image" (N, 1, z, y, x)), and filters as large as training leaves them, so that training starts
    where export stopped. Thresholds stay in the last bias. The checkpoint has the model's organs, whichever the
    configuration names, and counts its steps. Raises ConfigError if the model is of another network.
    """
    name = network_of(model)
    if name != config.network.name:
        raise ConfigError(f'[network] name = "{config.network.name}", but {model} holds a "{name}".')
    network = build(config)
    try:
        graph = onnx.load(model / "network.onnx").graph
        steps = read(model / "model.json")["trained"]["total_steps"]
        channels = {organ["channel"] for organ in read(model / "organs.json")["organs"]}
        network.present.copy_(
            torch.tensor([n == 0 or n in channels for n in range(network.present.numel())]).view(network.present.shape)
        )
        norms = fill(
            network, {entry.name: torch.tensor(numpy_helper.to_array(entry)) for entry in graph.initializer}, graph
        )
    except (OSError, KeyError, RuntimeError, ValueError, DecodeError) as error:
        raise ConfigError(f'{model} does not hold a "{name}" of this program ({error}).') from None
    measure(network.eval(), norms, batches())
    difference = largest_difference(WithSoftmax(network).eval(), model / "network.onnx")
    if not difference <= TOLERANCE:
        raise ConfigError(
            f'{model} does not hold a "{name}" of this program (its probabilities differ by {difference:.1e}).'
        )
    state = {
        "config": config.as_dict(),
        "network": network.state_dict(),
        "average": network.state_dict(),
        "step": 0,
        "seconds": 0.0,
        "total_steps": steps,
    }
    write(state, out)
    return difference


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def merged(network: nn.Module) -> dict[str, str]:
    """Names of the convolutions that export merges a norm into, in the order in which they run, and of these norms."""
    pairs = {
        f"{name}.{convolution}": f"{name}.{norm}"
        for name, part in network.named_modules()
        for kind, (convolution, norm) in MERGED.items()
        if isinstance(part, kind)
    }
    order = []
    hooks = [
        network.get_submodule(name).register_forward_pre_hook(lambda *_, name=name: order.append(name))
        for name in pairs
    ]
    with torch.inference_mode():
        network.eval()(torch.zeros(1, 1, *[SIZE_MULTIPLE] * 3))
    for hook in hooks:
        hook.remove()
    return {name: pairs[name] for name in order}


def fill(network: nn.Module, weights: dict[str, torch.Tensor], graph: onnx.GraphProto) -> dict[str, Merged]:
    """Loads the weights, merged filters as large as training leaves them;
    gives by their names what the norms after these have to do."""
    own = network.state_dict()
    known = {name.removeprefix("network."): value for name, value in weights.items()}
    state = {name: known.get(name, value) for name, value in own.items()}
    places = [list(node.input) for node in graph.node if node.op_type == "Conv" and node.input[1].startswith("onnx::")]
    pairs = merged(network)
    if len(places) != len(pairs):
        raise ValueError(f"{len(places)} merged convolutions instead of {len(pairs)}")
    norms = {}
    for (convolution, norm), (_, weight, bias) in zip(pairs.items(), places):
        growth = (LEARNT_SIZE / weights[weight].pow(2).mean((1, 2, 3, 4)).sqrt()).clamp_max(LARGEST_GROWTH)
        state[f"{convolution}.weight"] = weights[weight] * growth.view(-1, 1, 1, 1, 1)
        norms[norm] = Merged(growth, weights[bias])
    lost = [
        name
        for name in own
        if name not in known
        and not name.endswith(("num_batches_tracked", "present"))
        and name.rpartition(".")[0] not in (*pairs, *norms)
    ]
    if lost:
        raise ValueError(f"{lost[0]} is missing")
    network.load_state_dict(state)
    for name, merged_norm in norms.items():
        restore(
            network.get_submodule(name),
            torch.zeros_like(merged_norm.bias),
            torch.ones_like(merged_norm.bias),
            merged_norm,
        )
    return norms


@torch.no_grad()
def restore(norm: nn.Module, mean: torch.Tensor, variance: torch.Tensor, merged_norm: Merged) -> None:
    """Statistics for a batch norm, and the scale and shift with which it only undoes the growth and adds the bias."""
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.weight.copy_((variance + norm.eps).sqrt() / merged_norm.growth)
    norm.bias.copy_(merged_norm.bias + mean / merged_norm.growth)


@torch.inference_mode()
def measure(network: nn.Module, norms: dict[str, Merged], batches: Iterable[dict]) -> None:
    """Gives the merged norms the mean and variance of what reaches them in the first `MEASURED_BATCHES` batches."""
    sums = {name: torch.zeros(3, len(norm.bias), dtype=torch.float64) for name, norm in norms.items()}

    def watch(name: str):
        def add(_module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
            values = inputs[0].double()
            for row, power in zip(sums[name], (values**0, values, values**2)):
                row.add_(power.sum((0, 2, 3, 4)))

        return add

    hooks = [network.get_submodule(name).register_forward_pre_hook(watch(name)) for name in norms]
    for batch in islice(batches, MEASURED_BATCHES):
        network(torch.as_tensor(batch["image"]))
    for hook in hooks:
        hook.remove()
    for name, (count, total, squares) in sums.items():
        mean = total / count
        restore(network.get_submodule(name), mean.float(), (squares / count - mean**2).float(), norms[name])
