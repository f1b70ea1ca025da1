"""Training patches, each a function of the seed and its number alone, so that a run can resume."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Subset

from .augment import oversized, training_transforms
from .config import Config
from .grid import AIR_HU

ANYWHERE = 0.15
"""Share of patches around any place in the volume; the others hold a voxel of some organ."""
JITTER_VOXELS = (20, 24, 24)


class Patches(Dataset):
    """Patch number i of an endless run: image (1, z, y, x) float, labels and unknown bits uint8."""

    def __init__(self, volumes: Sequence[Path], config: Config, count: int):
        self.volumes, self.config, self.count = list(volumes), config, count
        self.size = oversized(config.grid, config.augment)
        self.transforms = training_transforms(config.grid, config.augment)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> dict:
        random = np.random.default_rng((self.config.optimise.seed, number))
        folder = self.volumes[random.integers(len(self.volumes))]
        image = np.load(folder / "image.npy", mmap_mode="r")
        target = np.load(folder / "target.npy", mmap_mode="r")
        centre = self.centre(folder, image.shape, random)
        data = {"image": torch.from_numpy(cut(image, centre, self.size, AIR_HU).astype(np.float32))[None]}
        for key, channel in (("labels", 0), ("unknown", 1)):
            data[key] = torch.from_numpy(cut(target[channel], centre, self.size, 0).astype(np.float32))[None]
        self.transforms.set_random_state(seed=int(random.integers(2**31)))
        return self.transforms(data)

    def centre(self, folder: Path, shape: Sequence[int], random: np.random.Generator) -> np.ndarray:
        organs = json.loads((folder / "centres.json").read_text())
        if not organs or random.random() < ANYWHERE:
            return random.integers(shape)
        voxels = organs[random.choice(sorted(organs))]
        return np.array(voxels[random.integers(len(voxels))]) + random.integers(
            -np.array(JITTER_VOXELS), np.array(JITTER_VOXELS) + 1)


def cut(volume: np.ndarray, centre: Sequence[int], size: Sequence[int], fill: int) -> np.ndarray:
    """A box of `size` around `centre`, both (z, y, x); `fill` where it leaves the volume."""
    box = np.full(size, fill, volume.dtype)
    inner, outer = [], []
    for middle, length, limit in zip(centre, size, volume.shape):
        start = int(middle) - length // 2
        low, high = max(start, 0), min(start + length, limit)
        outer.append(slice(low, max(high, low)))
        inner.append(slice(low - start, max(high, low) - start))
    box[tuple(inner)] = volume[tuple(outer)]
    return box


def loader(volumes: Sequence[Path], config: Config, first_step: int) -> DataLoader:
    """Batches from `first_step` to the end of the schedule, prepared in one process beside."""
    batch, steps = config.optimise.batch, config.optimise.steps
    patches = Patches(volumes, config, steps * batch)
    rest = Subset(patches, range(first_step * batch, steps * batch))
    return DataLoader(rest, batch_size=batch, num_workers=1, prefetch_factor=4, worker_init_fn=single_thread)


def single_thread(_worker: int) -> None:
    torch.set_num_threads(1)
