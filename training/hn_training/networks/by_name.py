"""The networks a configuration can name.

Each is a module that takes a CT (N, 1, z, y, x) scaled to [-1, 1], spatial sizes divisible by
`network.SIZE_MULTIPLE`, and gives class logits of the same size. `classify` is the convolution that
makes the logits, `present` a buffer that tells which classes the model has.
"""

from __future__ import annotations

from torch import nn

from ..config import Config
from .densevnet import DenseVNet
from .segresnet import MonaiSegResNet

NETWORKS = {"densevnet": DenseVNet, "monai-segresnet": MonaiSegResNet}


def build(config: Config) -> nn.Module:
    """The configuration's network with fresh weights."""
    return NETWORKS[config.network.name](absent=config.absent())
