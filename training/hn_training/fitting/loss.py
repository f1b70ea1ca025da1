"""Soft Dice and cross entropy that take an organ nobody drew as unknown, not as background."""

from __future__ import annotations

import torch

LEAST_PROBABILITY = 1e-7


def segmentation_loss(
    logits: torch.Tensor, labels: torch.Tensor, unknown: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Loss to minimise (1 + cross entropy - soft Dice), and its two parts for the log.

    logits (N, C, z, y, x); labels (N, z, y, x) uint8 classes; unknown (N, z, y, x) uint8, bit i set
    where nobody drew class i + 1. The cross entropy is of the probability of all classes that a
    voxel's label allows: its own, and in the background every unknown organ. The soft Dice is over
    the batch, the mean of the organs drawn in it, each where it is known. One pass over the classes:
    on a CPU the plain formulas take as long as the network.
    """
    chances = logits.float().softmax(1).unbind(1)
    background = labels == 0
    allowed = chances[0] * background
    scores = []
    for organ, chance in enumerate(chances[1:], start=1):
        known = (unknown >> (organ - 1)) & 1 == 0
        drawn = labels == organ
        allowed = allowed + chance * (drawn | (background & ~known))
        voxels = (drawn & known).sum()
        if voxels:
            predicted = chance * known
            scores.append(2 * (predicted * drawn).sum() / (predicted.sum() + voxels))
    entropy = -allowed.clamp_min(LEAST_PROBABILITY).log().mean()
    dice = torch.stack(scores).mean() if scores else entropy.new_ones(())
    return entropy + 1 - dice, entropy.detach(), dice.detach()
