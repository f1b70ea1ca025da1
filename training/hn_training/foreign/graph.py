"""An nnU-Net's network as ONNX: any spatial sizes that its strides divide, several folds in one graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnxsim import simplify
from torch import nn

from ..packing.export import OPSET, TOLERANCE
from .errors import Refused

LARGEST = 2**31 - 2**24
"""Bytes of weights. A message of protobuf, which a network.onnx is, has less than 2 GiB; 16 MiB are for the graph."""


def check_size(networks: list[nn.Module]) -> None:
    """Raises Refused if the weights of all folds are too many for one file."""
    sizes = [sum(weight.numel() * weight.element_size() for weight in net.state_dict().values()) for net in networks]
    if sum(sizes) > LARGEST:
        fit = LARGEST // max(sizes)
        advice = f"choose {fit} of them with --folds." if fit else "it can't be imported."
        raise Refused(
            f"The weights of {len(networks)} folds are {sum(sizes) / 2**30:.1f} GiB, and a network.onnx has less than "
            f"2 GiB: {advice}"
        )


def write(network: nn.Module, multiple: tuple[int, int, int], path: Path) -> float:
    """The graph, "image" (1, 1, d, h, w) to "logits" (1, channels, d, h, w), and its largest difference from PyTorch.

    The difference is a share of the largest logit. Raises Refused if it is above `TOLERANCE`.
    """
    axes = {2: "z", 3: "y", 4: "x"}
    torch.onnx.export(
        network,
        (torch.zeros(shapes(multiple)[0]),),
        path,
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes={"image": axes, "logits": axes},
        opset_version=OPSET,
        dynamo=False,
    )
    graph, equal = simplify(onnx.load(path))
    if not equal:
        raise Refused("The simplified graph differs from the exported one: report this, with the folder's plans.json.")
    onnx.save(graph, path)
    difference = largest_difference(network, multiple, path)
    if not difference <= TOLERANCE:
        raise Refused(
            f"ONNX Runtime and PyTorch differ by {difference:.1e} of the largest logit, more than {TOLERANCE:.0e}: "
            "the network can't be imported. Report this, with the folder's plans.json."
        )
    return difference


def shapes(multiple: tuple[int, int, int]) -> list[tuple[int, ...]]:
    """Of two images, of different sizes along each axis; the network's coarsest level has several voxels in both."""
    return [(1, 1, *(size * count for size, count in zip(multiple, counts))) for counts in ((2, 1, 2), (1, 2, 3))]


@torch.inference_mode()
def largest_difference(network: nn.Module, multiple: tuple[int, int, int], path: Path) -> float:
    """Between ONNX Runtime and PyTorch over random images, as a share of the largest logit."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    worst = 0.0
    for shape in shapes(multiple):
        image = random.normal(size=shape).astype(np.float32)  # as CTNormalization leaves an image
        (ours,) = session.run(None, {"image": image})
        theirs = network(torch.from_numpy(image)).numpy()
        worst = max(worst, float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), np.finfo(np.float32).tiny)))
    return worst
