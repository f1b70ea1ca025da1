"""Soft Dice and cross entropy that take an organ nobody drew as unknown, not as background."""

from __future__ import annotations

import torch
from torch.nn import functional as F


def unknown_classes(bits: torch.Tensor, classes: int) -> torch.Tensor:
    """Bit field (N, z, y, x) to bool (N, classes, z, y, x); the background is never unknown."""
    shifts = torch.arange(classes - 1, device=bits.device).view(1, -1, 1, 1, 1)
    organs = (bits.unsqueeze(1).int() >> shifts) & 1
    return F.pad(organs.bool(), (0, 0, 0, 0, 0, 0, 1, 0))


def marginal_cross_entropy(logits: torch.Tensor, labels: torch.Tensor, unknown: torch.Tensor) -> torch.Tensor:
    """Mean of -log of the probability of all classes that a voxel's label allows.

    A labelled voxel allows its class; a background voxel allows the background and every
    unknown organ. logits (N, C, z, y, x), labels (N, z, y, x), unknown (N, C, z, y, x) bool.
    """
    one_hot = F.one_hot(labels.long(), logits.shape[1]).movedim(-1, 1).bool()
    allowed = one_hot | (unknown & (labels == 0).unsqueeze(1))
    allowed_logits = logits.masked_fill(~allowed, float("-inf"))
    return (torch.logsumexp(logits, 1) - torch.logsumexp(allowed_logits, 1)).mean()


def soft_dice(logits: torch.Tensor, labels: torch.Tensor, unknown: torch.Tensor) -> torch.Tensor:
    """Mean soft Dice over the batch of the organs that are drawn in it, where they are known."""
    probabilities = logits.softmax(1)
    scores = []
    for organ in range(1, logits.shape[1]):
        known = ~unknown[:, organ]
        truth = ((labels == organ) & known).float()
        if not truth.any():
            continue
        predicted = probabilities[:, organ] * known
        scores.append(2 * (predicted * truth).sum() / (predicted.sum() + truth.sum()))
    return torch.stack(scores).mean() if scores else logits.new_ones(())


def segmentation_loss(logits: torch.Tensor, labels: torch.Tensor, bits: torch.Tensor):
    """Loss to minimise, and its parts (cross entropy, soft Dice) for the log."""
    logits = logits.float()
    unknown = unknown_classes(bits, logits.shape[1])
    entropy = marginal_cross_entropy(logits, labels, unknown)
    dice = soft_dice(logits, labels, unknown)
    return entropy + 1 - dice, entropy.detach(), dice.detach()
