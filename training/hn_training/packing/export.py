"""A checkpoint becomes a model folder: network.onnx, organs.json, model.json and SHA256SUMS."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnxsim import simplify
from torch import nn

from .. import grid
from ..config import ORGANS, Config, ConfigError, from_dict
from ..networks.by_name import build
from ..networks.densevnet import SIZE_MULTIPLE
from .model_folder import COLORS, CONTRACT, concept, unusable, write_json, write_sums

VERSION = "0.5.0"
OPSET = 18
TOLERANCE = 1e-4
TRACED_SHAPE = (1, 1, 32, 48, 64)
CHECKED_SHAPES = ((1, 1, 32, 48, 64), (1, 1, 64, 32, 48))

# SNOMED CT.
CODES = {
    "Brainstem": ("119238007", "Brain stem"),
    "SpinalCord": ("2748008", "Spinal cord"),
    "Parotid": ("45289007", "Parotid gland"),
    "Eye": ("79652003", "Eyeball"),
}
SIDES = {"L": ("7771000", "Left"), "R": ("24028007", "Right")}


@dataclass(frozen=True)
class Title:
    """What a model is known by: no two models of one computer have the same. Raises ConfigError for what can't be."""

    name: str
    version: str

    def __post_init__(self) -> None:
        if reason := unusable(self.name, self.version):
            raise ConfigError(reason)


class WithSoftmax(nn.Module):
    """What the exported graph computes: image to probabilities, (1, 1, z, y, x) to (1, classes, z, y, x)."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.network(image).softmax(1)


def load_average(checkpoint: Path) -> tuple[nn.Module, Config, dict]:
    """The averaged network of a checkpoint, its configuration and how it came to be (for model.json)."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    config = from_dict(state["config"])
    network = build(config)
    network.load_state_dict(state["average"])
    history = {
        "steps": state["step"],
        "total_steps": state.get("total_steps", state["step"]),
        "started_from": state.get("origin", {}).get("sha256"),
    }
    return network.eval(), config, history


@torch.no_grad()
def apply_thresholds(network: nn.Module, thresholds: dict[str, float]) -> None:
    """Shift logits so that the probability that was an organ's threshold becomes 0.5.

    Exact for each organ against the rest: its odds are divided by threshold / (1 - threshold).
    """
    for organ, threshold in thresholds.items():
        network.classify.bias[ORGANS.index(organ) + 1] -= math.log(threshold / (1 - threshold))


def to_onnx(network: nn.Module, path: Path) -> None:
    """Write the graph with free spatial axes, simplified. Raises AssertionError if it does not equal PyTorch's."""
    module = WithSoftmax(network).eval()
    axes = {2: "z", 3: "y", 4: "x"}
    torch.onnx.export(
        module,
        (torch.zeros(TRACED_SHAPE),),
        path,
        input_names=["image"],
        output_names=["probabilities"],
        dynamic_axes={"image": axes, "probabilities": axes},
        opset_version=OPSET,
        dynamo=False,
    )
    graph, equal = simplify(onnx.load(path))
    assert equal, "the simplified graph differs from the exported one"
    onnx.save(graph, path)
    difference = largest_difference(module, path)
    assert difference <= TOLERANCE, f"ONNX and PyTorch differ by {difference}"


@torch.inference_mode()
def largest_difference(module: nn.Module, path: Path) -> float:
    """Largest absolute difference of probabilities between ONNX Runtime and PyTorch, over random images."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    worst = 0.0
    for shape in CHECKED_SHAPES:
        image = random.uniform(-1, 1, shape).astype(np.float32)
        (ours,) = session.run(None, {"image": image})
        worst = max(worst, float(np.abs(ours - module(torch.from_numpy(image)).numpy()).max()))
    return worst


def organs(config: Config) -> dict:
    """organs.json: every organ that the interface knows, and whether this model has it."""
    entries = []
    for label, name in enumerate(ORGANS, start=1):
        kind, _, side = name.partition("_")
        code, meaning = CODES[kind]
        present = name in config.data.labels
        entries.append(
            {
                "name": name,
                "channel": label if present else None,
                "label": label,
                "color": list(COLORS[name]),
                "code": concept(code, meaning),
                "laterality": concept(*SIDES[side]) if side else None,
                "in_model": present,
            }
        )
    return {"organs": entries}


def description(title: Title, config: Config, history: dict, data: str, thresholds: dict[str, float]) -> dict:
    """model.json: what the network expects, and how and on what `data` it was trained."""
    low, high = grid.WINDOW_HU
    return {
        "contract": CONTRACT,
        "name": title.name,
        "version": title.version,
        "precision": "float32",
        "preprocessing": {
            "axes": "LPS",
            "spacing_mm": list(config.grid.spacing_mm),
            "resolution_mm": list(config.grid.resolution_mm),
            "hu_clip": [low, high],
            "hu_shift": (low + high) / 2,
            "hu_scale": (high - low) / 2,
            "multiple": SIZE_MULTIPLE,
            "patch": list(config.grid.patch_zyx),
            "overlap": 0.25,
        },
        "trained": {
            "network": config.network.name,
            "data": data,
            "seed": config.optimise.seed,
            **history,
            "thresholds": thresholds,
            "date": date.today().isoformat(),
        },
    }


def export(
    checkpoint: Path, folder: Path, data: str, thresholds: dict[str, float] | None = None, title: Title | None = None
) -> None:
    """Write the model folder, with `data` as a word on what it was trained on.

    title: by default the network's, in the version that the project ships.
    thresholds: of the probability of an organ, if not 0.5; they go into the graph. SHA256SUMS comes
    last, so that a half-written folder is refused by its sums.
    """
    network, config, history = load_average(checkpoint)
    title = title or Title(f"hn-{config.network.name}", VERSION)
    apply_thresholds(network, thresholds or {})
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "network.onnx.part"
    to_onnx(network, partial)
    partial.replace(folder / "network.onnx")
    write_json(folder / "organs.json", organs(config))
    write_json(folder / "model.json", description(title, config, history, data, thresholds or {}))
    write_sums(folder)
