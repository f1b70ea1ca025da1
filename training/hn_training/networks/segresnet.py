"""MONAI's SegResNet at DenseVNet's resolution: the network of models 0.4.

Myronenko, "3D MRI Brain Tumor Segmentation Using Autoencoder Regularization", BrainLes 2018, without the autoencoder.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.nets import SegResNet
from torch import nn

from .densevnet import ABSENT_LOGIT, channels_last, resize

FILTERS, BLOCKS_DOWN, BLOCKS_UP = 28, (1, 2, 2), (1, 1)
"""As many levels as DenseVNet, and filters so that a training step on one thread takes about as long (0.78 s
against 0.84 s for two patches of 96 x 96 x 64) and the exported weights stay below 10 MB."""


class MonaiSegResNet(nn.Module):
    """CT (N, 1, z, y, x) scaled to [-1, 1] to class logits (N, classes, z, y, x).

    As DenseVNet it sees the image through a strided 5^3 convolution, predicts at half resolution,
    resizes linearly, takes sizes divisible by `network.SIZE_MULTIPLE` and gives the `absent` classes
    `network.ABSENT_LOGIT`.
    """

    def __init__(self, classes: int = 7, absent: Sequence[int] = ()):
        super().__init__()
        self.initial = nn.Conv3d(1, FILTERS, 5, stride=2, padding=2, bias=False)
        self.body = SegResNet(3, FILTERS, FILTERS, classes, norm="BATCH", blocks_down=BLOCKS_DOWN, blocks_up=BLOCKS_UP)
        present = torch.ones(classes, dtype=torch.bool)
        present[list(absent)] = False
        self.register_buffer("present", present.view(1, -1, 1, 1, 1))

    @property
    def classify(self) -> nn.Conv3d:
        """The convolution that gives the logits."""
        return self.body.conv_final[-1].conv

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        logits = self.body(channels_last(self.initial(image)))
        return resize(logits.masked_fill(~self.present, ABSENT_LOGIT), image.shape[2:])
