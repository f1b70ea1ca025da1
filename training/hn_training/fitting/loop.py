"""The training loop: seeded, resumable, with averaged weights and a log one can plot."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..config import Config
from ..data import cache
from ..data.patches import loader
from ..data.patients import Patient, read
from ..networks.by_name import build
from ..networks.precision import autocast
from ..scoring import examples, score
from . import checkpoints, logs, warm_start
from .curves import draw
from .loss import segmentation_loss

LOG_EVERY = 20
FIRST_LOOKS = (1, 100, 300)
"""Steps with a quick look of their own, whatever the time: that is when mistakes show."""
PICTURED = 2
CHECKPOINT = "checkpoint.pt"
LOSSES, SCORES = "loss.csv", "dice.csv"


@dataclass
class Run:
    """All that changes while training, and all that a checkpoint keeps."""

    config: Config
    network: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    origin: dict = field(default_factory=dict)
    recent: list[tuple[float, float, float]] = field(default_factory=list)

    def save(self, path: Path) -> None:
        state = {
            "config": self.config.as_dict(),
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "origin": self.origin,
            "total_steps": self.total_steps,
        }
        checkpoints.write(state, path)

    def restore(self, path: Path) -> None:
        state = torch.load(path, map_location=self.config.optimise.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.origin = state.get("origin", {})

    @property
    def total_steps(self) -> int:
        """Steps that these weights took, those of the run that this one started from included."""
        return self.step + self.origin.get("total_steps", 0)

    def progress(self) -> float:
        """Share of the schedule that is done: by steps, or by time where that is limited."""
        settings = self.config.optimise
        by_time = self.seconds / 60 / settings.minutes if settings.minutes else 0.0
        return max(self.step / settings.steps, by_time)


def start(config: Config) -> Run:
    torch.manual_seed(config.optimise.seed)
    torch.set_num_threads(config.optimise.threads)
    network = build(config)
    network = network.to(config.optimise.device, memory_format=torch.channels_last_3d).train()
    average = build(config).to(config.optimise.device).eval()
    average.load_state_dict(network.state_dict())
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=config.optimise.learning_rate, weight_decay=config.optimise.weight_decay
    )
    return Run(config, network, average, optimiser)


def learning_rate(run: Run) -> float:
    """Linear warm-up, then half a cosine down to 1 % of the peak."""
    settings = run.config.optimise
    warm = min(1.0, (run.step + 1) / settings.warmup_steps)
    fall = 0.5 * (1 + math.cos(math.pi * min(1.0, run.progress())))
    return settings.learning_rate * warm * max(fall, 0.01)


def train_step(run: Run, batch: dict) -> None:
    device = run.config.optimise.device
    for group in run.optimiser.param_groups:
        group["lr"] = learning_rate(run)
    image = batch["image"].to(device, memory_format=torch.channels_last_3d)
    with autocast(device):
        logits = run.network(image)
    labels, unknown = batch["labels"][:, 0].to(device), batch["unknown"][:, 0].to(device)
    loss, entropy, dice = segmentation_loss(logits, labels, unknown)
    if not torch.isfinite(loss):
        raise FloatingPointError(f"The loss is {loss.item()} at step {run.step}: lower the learning rate.")
    run.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(run.network.parameters(), 5.0)
    run.optimiser.step()
    run.step += 1
    update_average(run)
    run.recent.append((loss.item(), entropy.item(), dice.item()))


@torch.no_grad()
def update_average(run: Run) -> None:
    """Exponential moving average of weights and batch statistics, faster while young."""
    keep = min(run.config.optimise.ema, (1 + run.total_steps) / (10 + run.total_steps))
    for old, new in zip(run.average.state_dict().values(), run.network.state_dict().values()):
        if old.is_floating_point():
            old.lerp_(new, 1 - keep)
        else:
            old.copy_(new)


def train(config: Config) -> Path:
    """Trains to the end of the schedule, from the last checkpoint if there is one; gives its path."""
    folder = Path(config.data.cache)
    volumes = cache.build(config, "train")
    run, path = start(config), folder / CHECKPOINT
    if path.exists():
        go_on(run, folder)
    else:
        begin(run, folder)
    looked_at = score.quick_patients(config)
    saved = validated = last = time.monotonic()
    for batch in loader(volumes, config, run.step):
        if run.progress() >= 1:
            break
        train_step(run, batch)
        now = time.monotonic()
        run.seconds, last = run.seconds + now - last, now
        if run.step % LOG_EVERY == 0:
            log(run, folder)
        if run.step in FIRST_LOOKS:
            quick_look(run, folder, looked_at)
            last = time.monotonic()
        if now - saved > config.optimise.checkpoint_s:
            run.save(path)
            draw(folder)
            saved = now
        if now - validated > config.optimise.validate_s:
            quick_look(run, folder, looked_at)
            validated = last = time.monotonic()
    run.save(path)
    if run.step not in FIRST_LOOKS:
        quick_look(run, folder, looked_at)
    draw(folder)
    return path


def go_on(run: Run, folder: Path) -> None:
    """From the last checkpoint; what was logged after it is done again."""
    run.restore(folder / CHECKPOINT)
    for name in (LOSSES, SCORES):
        logs.forget_after(folder / name, run.step)
    print(f"Going on from step {run.step}.", flush=True)


def begin(run: Run, folder: Path) -> None:
    if run.config.optimise.start_from:
        run.origin = warm_start.load(run.network, run.average, Path(run.config.optimise.start_from))
        print(f"Starting from weights of {run.total_steps} steps.", flush=True)
    (folder / "config.json").write_text(json.dumps(run.config.as_dict(), indent=2))


def log(run: Run, folder: Path) -> None:
    loss, entropy, dice = (sum(column) / len(run.recent) for column in zip(*run.recent))
    run.recent.clear()
    row = {
        "step": run.step,
        "seconds": round(run.seconds, 1),
        "learning_rate": f"{learning_rate(run):.3g}",
        "loss": round(loss, 4),
        "cross_entropy": round(entropy, 4),
        "soft_dice": round(dice, 4),
    }
    logs.append(folder / LOSSES, row)
    print(" ".join(f"{key} {value}" for key, value in row.items()), flush=True)


def quick_look(run: Run, folder: Path, patients: list[Path]) -> None:
    """Scores of some validation patients for the log, and pictures of the first of them."""
    found = score.Scores()
    for number, file in enumerate(patients):
        patient = read(file, run.config.data)
        chances = score.probabilities(run.average, patient, run.config)
        found.add(patient, chances)
        if number < PICTURED:
            picture(run, folder, patient, chances)
    scores = found.means()
    organs = {organ: round(scores[organ], 4) if organ in scores else "" for organ in run.config.data.labels}
    logs.append(folder / SCORES, {"step": run.step} | organs)
    print(f"step {run.step} validation", organs, flush=True)


def picture(run: Run, folder: Path, patient: Patient, chances: np.ndarray) -> None:
    title = f"{patient.name}, step {run.step}"
    examples.draw(patient, chances, title, folder / "examples" / f"step_{run.step:06}_{patient.name}.png")
