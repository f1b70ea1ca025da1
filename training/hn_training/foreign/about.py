"""model.json of an imported network, and what the user is told of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from ..packing.model_folder import CONTRACT
from .errors import Refused
from .nnunet.checkpoints import Checkpoint
from .nnunet.heads import Heads
from .nnunet.plans import Plan
from .nnunet.source import BEST, Chosen

STEP = 0.5
"""Share of the patch between two tiles: nnU-Net's predictor overlaps them by half."""


@dataclass(frozen=True)
class Options:
    """Of the command; None: as the help says."""

    organs: Path | None = None
    labels_of: str | None = None
    name: str | None = None
    version: str = "1.0"
    configuration: str | None = None
    folds: list[str] | None = None
    checkpoint: str | None = None
    axes: str | None = None
    mirroring: bool = False
    trainer: str | None = None


@dataclass(frozen=True)
class Decided:
    """The network: one checkpoint for each of `chosen`'s folds."""

    plan: Plan
    heads: Heads
    chosen: Chosen
    checkpoints: tuple[Checkpoint, ...]


def description(decided: Decided, options: Options) -> dict:
    """model.json. Raises Refused for mirroring that the network wasn't trained with."""
    plan, first = decided.plan, decided.checkpoints[0]
    if options.mirroring and not first.mirror_axes:
        raise Refused("--mirroring can't be: the network was trained without, and nnU-Net wouldn't mirror either.")
    return {
        "contract": CONTRACT,
        "name": options.name or default_name(plan),
        "version": options.version,
        "method": "nnunet",
        "precision": "float32",
        "preprocessing": {
            "axes": options.axes or plan.axes,
            "transpose": list(plan.transpose),
            "spacing_mm": list(plan.spacing_mm),
            "patch": list(plan.patch),
            "hu_clip": list(plan.hu_clip),
            "hu_shift": plan.hu_shift,
            "hu_scale": plan.hu_scale,
            "image_order": plan.order,
            "image_order_z": plan.order_z,
            "logits_order": plan.logits_order,
            "logits_order_z": plan.logits_order_z,
            "separate_z": plan.separate_z,
            "anisotropy": plan.anisotropy,
            "step": STEP,
            "mirror_axes": list(first.mirror_axes),
            "mirroring": options.mirroring,
        },
        "output": "regions" if decided.heads.regions else "labels",
        "trained": {
            "from": "nnunetv2",
            "dataset": plan.dataset,
            "configuration": plan.configuration,
            "trainer": first.trainer,
            "plans": plan.plans,
            "network": plan.recipe.network,
            "folds": [int(fold) if fold.isdigit() else fold for fold in decided.chosen.folds],
            "checkpoint": decided.chosen.checkpoint,
            "sha256": [checkpoint.sha256 for checkpoint in decided.checkpoints],
            "imported": date.today().isoformat(),
        },
    }


def default_name(plan: Plan) -> str:
    """Dataset501_OpenKBP -> dataset501-openkbp; a configuration other than 3d_fullres is added."""
    parts = [plan.dataset, *([plan.configuration] if plan.configuration != "3d_fullres" else [])]
    name = re.sub(r"[^a-z0-9]+", "-", "-".join(parts).casefold()).strip("-")[:64]
    return name or "nnunet"


def tell(say: Callable[[str], None], decided: Decided, about: dict, options: Options) -> None:
    """What was found, and what was decided for want of an option."""
    plan, heads, chosen = decided.plan, decided.heads, decided.chosen
    folds = f"fold{'s' * (len(chosen.folds) > 1)} {', '.join(chosen.folds)}"
    kind = "regions" if heads.regions else "labels"
    say(
        f"{plan.dataset}, {plan.configuration}: a {plan.recipe.network} of {len(heads.names)} {kind}, {folds} "
        f"({chosen.checkpoint})."
    )
    if chosen.checkpoint == BEST and options.checkpoint is None:
        say("There is no checkpoint_final.pth, so the training may not have ended: checkpoint_best.pth was taken.")
    axes = about["preprocessing"]["axes"]
    why = "as you said" if options.axes else f"as {plan.reader} reads images"
    other = " If it was trained on images turned to RAS, as TotalSegmentator's networks are, say --axes RAS."
    say(f"Axes {axes}, {why}.{other if axes == 'LPS' and not options.axes else ''}")
    if about["preprocessing"]["mirror_axes"] and not options.mirroring:
        times = 2 ** len(about["preprocessing"]["mirror_axes"])
        say(f"Without mirroring, which nnU-Net does by default and which takes {times} times as long (--mirroring).")


def tell_organs(say: Callable[[str], None], heads: Heads, table: dict, left_out: list[str]) -> None:
    labels = {channel: label for label, channel in heads.names.items()}
    for organ in table["organs"]:
        code = f"{organ['code']['value']} {organ['code']['meaning']}" if organ["code"] else "without a code"
        side = f", {organ['laterality']['meaning']}" if organ["laterality"] else ""
        say(f"  {labels[organ['channel']]} -> {organ['name']} ({code}{side})")
    if left_out:
        say(f"  left out: {', '.join(left_out)}")
