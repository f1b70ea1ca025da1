"""DenseVNet as NiftyNet defines it (niftynet/network/dense_vnet.py).

Gibson et al., "Automatic Multi-Organ Segmentation on Abdominal CT With Dense V-Networks",
IEEE Trans. Med. Imaging 37(8), 1822-1834, 2018. Without the spatial prior.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

INITIAL_CHANNELS = 24
STACK_LAYERS = (5, 10, 10)
STACK_GROWTH = (4, 8, 16)
SKIP_CHANNELS = (12, 24, 24)
DOWN_CHANNELS = (24, 24, None)
SIZE_MULTIPLE = 16
"""Every spatial size must be divisible by this: half resolution, then two strided levels, evenly."""

ABSENT_LOGIT = -1e4
"""Logit of a class that the model does not have: its softmax is exactly 0 in float32."""


class ConvBlock(nn.Sequential):
    """3^3 or 5^3 convolution without bias, batch norm, and ReLU unless told otherwise."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, relu: bool = True):
        layers: list[nn.Module] = [
            nn.Conv3d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm3d(outputs),
        ]
        super().__init__(*layers, *([nn.ReLU(inplace=True)] if relu else []))


class DenseStack(nn.Module):
    """A stack of convolutions that each see the input and all outputs before; gives all of them."""

    def __init__(self, inputs: int, growth: int, layers: int):
        super().__init__()
        self.layers = nn.ModuleList(ConvBlock(inputs + i * growth, growth) for i in range(layers))
        self.channels = inputs + layers * growth

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x)], dim=1)
        return x


class DenseVNet(nn.Module):
    """CT (N, 1, z, y, x) scaled to [-1, 1] to class logits (N, classes, z, y, x).

    Any spatial size divisible by `SIZE_MULTIPLE`. It predicts at half resolution; the linear resize
    to full size is part of it. `absent` lists classes that this model does not have: they keep
    their place in the output and their logit is `ABSENT_LOGIT` everywhere.
    """

    def __init__(self, classes: int = 7, absent: Sequence[int] = ()):
        super().__init__()
        self.input_norm = nn.BatchNorm3d(1)
        self.initial = ConvBlock(1, INITIAL_CHANNELS, kernel=5, stride=2, relu=False)
        self.stacks, self.skips, self.downs = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        channels = 1 + INITIAL_CHANNELS
        for growth, layers, skip, down in zip(STACK_GROWTH, STACK_LAYERS, SKIP_CHANNELS, DOWN_CHANNELS):
            stack = DenseStack(channels, growth, layers)
            self.stacks.append(stack)
            self.skips.append(ConvBlock(stack.channels, skip))
            if down is not None:
                self.downs.append(ConvBlock(stack.channels, down, stride=2))
                channels = down
        self.classify = nn.Conv3d(1 + sum(SKIP_CHANNELS), classes, 3, padding=1)
        present = torch.ones(classes, dtype=torch.bool)
        present[list(absent)] = False
        self.register_buffer("present", present.view(1, -1, 1, 1, 1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        pooled = F.avg_pool3d(image, 3, stride=2, padding=1, count_include_pad=False)
        first = self.initial(image)
        pooled = self.input_norm(pooled).to(first.dtype)  # else bfloat16 features would become float32 again
        half = pooled.shape[2:]
        features = [pooled]
        x = channels_last(torch.cat([pooled, first], dim=1))
        for level, (stack, skip) in enumerate(zip(self.stacks, self.skips)):
            x = stack(x)
            seen = skip(x)
            features.append(seen if level == 0 else resize(seen, half))
            if level < len(self.downs):
                x = self.downs[level](x)
        logits = self.classify(channels_last(torch.cat(features, dim=1)))
        logits = logits.masked_fill(~self.present, ABSENT_LOGIT)
        return resize(logits, image.shape[2:])


def channels_last(x: torch.Tensor) -> torch.Tensor:
    """The same tensor in the layout that CPU convolutions are fastest in; ONNX has no such thing."""
    return x if torch.onnx.is_in_onnx_export() else x.contiguous(memory_format=torch.channels_last_3d)


def resize(x: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Linear resize of (N, C, z, y, x) to `size` (z, y, x), voxel centres kept in place."""
    return F.interpolate(x, size=tuple(size), mode="trilinear", align_corners=False)


def trainable_parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
