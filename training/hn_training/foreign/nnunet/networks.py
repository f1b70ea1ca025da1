"""nnU-Net's two U-Nets, for inference: the layers and their names are such that nnU-Net's weights fit strictly.

Written anew, since nnU-Net's own package brings torchvision, whose builds must match PyTorch's; what these compute is
compared with nnU-Net's own classes in the tests. Only the finest output is computed (no deep supervision).
"""

from __future__ import annotations

import torch
from torch import nn

from .recipe import PLAIN, Recipe

NORMS = {"InstanceNorm3d": nn.InstanceNorm3d, "BatchNorm3d": nn.BatchNorm3d}
ACTIVATIONS = {"LeakyReLU": nn.LeakyReLU, "ReLU": nn.ReLU}


def build(recipe: Recipe, outputs: int) -> nn.Module:
    """Image (1, 1, d, h, w) to logits (1, outputs, d, h, w), sizes divisible by `recipe.multiple`. Weights random."""
    return UNet(recipe, outputs).eval()


class Convolution(nn.Module):
    """Convolution, norm and activation: `conv` and `norm` have weights."""

    def __init__(self, recipe: Recipe, before: int, after: int, kernel, stride=1, bias=None, activation=True):
        super().__init__()
        kernel = (kernel,) * 3 if isinstance(kernel, int) else kernel
        padding = [(size - 1) // 2 for size in kernel]
        self.conv = nn.Conv3d(before, after, kernel, stride, padding, bias=recipe.bias if bias is None else bias)
        self.norm = NORMS[recipe.norm](after, **recipe.norm_options)
        self.activation = ACTIVATIONS[recipe.activation](**recipe.activation_options) if activation else nn.Identity()
        self.first = recipe.activation_first

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        return self.norm(self.activation(x)) if self.first else self.activation(self.norm(x))


class Stack(nn.Module):
    """Convolutions in a row; the first one may have a stride."""

    def __init__(self, recipe: Recipe, count: int, before: int, after: int, kernel, stride=1):
        super().__init__()
        self.convs = nn.Sequential(
            *(
                Convolution(recipe, after if number else before, after, kernel, 1 if number else stride)
                for number in range(count)
            )
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.convs(x)


class Residual(nn.Module):
    """ResNet-D's basic block: two convolutions; beside them an average pool and a 1 x 1 x 1 convolution if needed."""

    def __init__(self, recipe: Recipe, before: int, after: int, kernel, stride):
        super().__init__()
        self.conv1 = Convolution(recipe, before, after, kernel, stride)
        self.conv2 = Convolution(recipe, after, after, kernel, activation=False)
        self.activation = ACTIVATIONS[recipe.activation](**recipe.activation_options)
        skip: list[nn.Module] = []
        if any(step != 1 for step in stride):
            skip.append(nn.AvgPool3d(stride, stride))
        if before != after:
            skip.append(Convolution(recipe, before, after, 1, bias=False, activation=False))
        self.skip = nn.Sequential(*skip)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.activation(self.conv2(self.conv1(x)) + self.skip(x))


class ResidualStack(nn.Module):
    """Residual blocks in a row; the first one may have a stride."""

    def __init__(self, recipe: Recipe, count: int, before: int, after: int, kernel, stride):
        super().__init__()
        self.blocks = nn.Sequential(
            *(
                Residual(recipe, after if number else before, after, kernel, (1, 1, 1) if number else stride)
                for number in range(count)
            )
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.blocks(x)


class Encoder(nn.Module):
    """Gives the features of every stage, the finest first."""

    def __init__(self, recipe: Recipe):
        super().__init__()
        plain = recipe.network == PLAIN
        self.stem = None if plain else Stack(recipe, 1, 1, recipe.stem, recipe.kernels[0])
        sizes = [1 if plain else recipe.stem, *recipe.features]
        stages: list[nn.Module] = []
        for before, after, count, kernel, stride in zip(
            sizes, recipe.features, recipe.blocks, recipe.kernels, recipe.strides
        ):
            stage = (Stack if plain else ResidualStack)(recipe, count, before, after, kernel, stride)
            stages.append(nn.Sequential(stage) if plain else stage)
        self.stages = nn.Sequential(*stages)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        if self.stem is not None:
            x = self.stem(x)
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found


class Decoder(nn.Module):
    """From the coarsest features to logits. Every stage has an output layer; only the finest one is used."""

    def __init__(self, recipe: Recipe, outputs: int):
        super().__init__()
        features, strides, kernels = recipe.features[::-1], recipe.strides[::-1], recipe.kernels[::-1]
        stages, ups, heads = [], [], []
        for below, here, stride, kernel, count in zip(features, features[1:], strides, kernels[1:], recipe.decoder):
            ups.append(nn.ConvTranspose3d(below, here, stride, stride, bias=recipe.bias))
            stages.append(Stack(recipe, count, 2 * here, here, kernel))
            heads.append(nn.Conv3d(here, outputs, 1))
        self.transpconvs, self.stages = nn.ModuleList(ups), nn.ModuleList(stages)
        self.seg_layers = nn.ModuleList(heads)

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        x = features[-1]
        for up, stage, skip in zip(self.transpconvs, self.stages, features[-2::-1]):
            x = stage(torch.cat((up(x), skip), 1))
        return self.seg_layers[-1](x)


class UNet(nn.Module):
    def __init__(self, recipe: Recipe, outputs: int):
        super().__init__()
        self.encoder = Encoder(recipe)
        self.decoder = Decoder(recipe, outputs)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.encoder(image))


class Mean(nn.Module):
    """Several folds as one network: the mean of their logits, as nnU-Net's predictor takes it."""

    def __init__(self, folds: list[nn.Module]):
        super().__init__()
        self.folds = nn.ModuleList(folds)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        first, *others = self.folds
        total = first(image)
        for fold in others:
            total = total + fold(image)
        return total / len(self.folds) if others else total
