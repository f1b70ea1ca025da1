"""Training patches, each a function of the seed and its number alone, so that a run can resume."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Subset

from ..config import ORGANS, Config
from ..grid import AIR_HU
from .augment import ALL_UNKNOWN, oversized, training_transforms
from .cache import VOID_HU

ANYWHERE, ABSENT = 0.15, 0.1
"""Shares of patches anywhere in a volume, and at the top of scans where an organ is known to be absent; the
others are centred near a voxel of an organ."""
JITTER_VOXELS = (20, 24, 24)
MIXING = 1
"""Sets the draw of a patch's set apart from the draws within it."""


class Patches(Dataset):
    """Patch number i of an endless run: image (1, z, y, x) float, labels and unknown bits uint8."""

    def __init__(self, volumes: Sequence[Path], config: Config, count: int):
        self.volumes, self.config, self.count = list(volumes), config, count
        self.size = oversized(config.grid, config.augment)
        self.transforms = training_transforms(config.grid, config.augment)
        places = [json.loads((folder / "centres.json").read_text()) for folder in self.volumes]
        self.drawn = [{int(organ): np.array(voxels) for organ, voxels in p["drawn"].items()} for p in places]
        self.absent = {number: np.array(p["absent"]) for number, p in enumerate(places) if p["absent"]}
        self.holders = {
            organ: [n for n, drawn in enumerate(self.drawn) if organ in drawn]
            for organ in sorted(set().union(*self.drawn))
        }
        self.kinds = by_kind(self.holders)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> dict:
        random = np.random.default_rng((self.config.optimise.seed, number))
        patient, organ, centre = self.place(random)
        image, target = self.around(patient, centre)
        self.transforms.set_random_state(seed=int(random.integers(2**31)))
        if random.random() < self.config.augment.fill and target[2].any():
            self.fill(image, target, patient, organ, centre, random)
        data = {"image": torch.from_numpy(image)[None]}
        for key, channel in (("labels", 0), ("unknown", 1)):
            data[key] = torch.from_numpy(target[channel].astype(np.float32))[None]
        return self.transforms(data)

    def place(self, random: np.random.Generator) -> tuple[int, int | None, np.ndarray]:
        """A patient, the organ that the patch is about (if any) and its centre voxel (z, y, x)."""
        chance = random.random()
        if chance < ANYWHERE or not self.kinds:
            patient = int(random.integers(len(self.volumes)))
            shape = np.load(self.volumes[patient] / "image.npy", mmap_mode="r").shape
            return patient, None, random.integers(shape)
        if chance < ANYWHERE + ABSENT and self.absent:
            patient, organ = int(random.choice(list(self.absent))), None
            voxels = self.absent[patient]
        else:
            organ = int(random.choice(self.kinds[random.integers(len(self.kinds))]))
            patient = int(random.choice(self.holders[organ]))
            voxels = self.drawn[patient][organ]
        jitter = np.array(JITTER_VOXELS)
        return patient, organ, voxels[random.integers(len(voxels))] + random.integers(-jitter, jitter + 1)

    def around(self, patient: int, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Image (z, y, x) float32 HU, and labels, unknown bits and share of void (3, z, y, x) uint8."""
        image = np.load(self.volumes[patient] / "image.npy", mmap_mode="r")
        target = np.load(self.volumes[patient] / "target.npy", mmap_mode="r")
        cuts = [cut(channel, centre, self.size, 0) for channel in target]
        z = np.arange(self.size[0]) + int(centre[0]) - self.size[0] // 2
        cuts[2][(z < 0) | (z >= len(image))] = 255  # above and below the body all is void
        return cut(image, centre, self.size, AIR_HU).astype(np.float32), np.stack(cuts)

    def fill(
        self,
        image: np.ndarray,
        target: np.ndarray,
        patient: int,
        organ: int | None,
        centre: np.ndarray,
        random: np.random.Generator,
    ) -> None:
        """Puts another patient's tissue into the void, in place; what lies there is then unknown.

        The donor's patch lies relative to its own organ as this one does. Void and tissue were mixed by
        linear interpolation, so adding the donor's share is exact and leaves no seam.
        """
        shared = [organ] if organ else sorted(self.drawn[patient])
        if not shared:
            return
        anchor = int(random.choice(shared))
        donors = [n for n in self.holders[anchor] if n != patient]
        if not donors:
            return
        donor = int(random.choice(donors))
        shift = self.drawn[donor][anchor].mean(0) - self.drawn[patient][anchor].mean(0)
        other, _ = self.around(donor, centre + np.rint(shift).astype(int))
        image += target[2] / np.float32(255) * (other.clip(min=VOID_HU) - VOID_HU)
        target[1][(target[2] > 0) & (target[0] == 0)] = ALL_UNKNOWN


def by_kind(organs: Iterable[int]) -> list[list[int]]:
    """Classes grouped by organ: a patch round one of a pair mostly shows its twin as well."""
    kinds: dict[str, list[int]] = {}
    for organ in organs:
        kinds.setdefault(ORGANS[organ - 1].partition("_")[0], []).append(organ)
    return list(kinds.values())


def cut(volume: np.ndarray, centre: Sequence[int] | np.ndarray, size: Sequence[int], fill: int) -> np.ndarray:
    """A box of `size` around `centre`, both (z, y, x); `fill` where it leaves the volume."""
    box = np.full(size, fill, volume.dtype)
    inner, outer = [], []
    for middle, length, limit in zip(centre, size, volume.shape):
        start = int(middle) - length // 2
        low, high = min(max(start, 0), limit), max(min(start + length, limit), 0)
        outer.append(slice(low, max(high, low)))
        inner.append(slice(low - start, max(high, low) - start))
    box[tuple(inner)] = volume[tuple(outer)]
    return box


class Mixed(Dataset):
    """Patch number i of one of several sets, drawn by their shares."""

    def __init__(self, sets: Sequence[Patches], shares: Sequence[float]):
        self.sets, self.shares = list(sets), np.array(shares) / sum(shares)

    def __len__(self) -> int:
        return len(self.sets[0])

    def __getitem__(self, number: int) -> dict:
        random = np.random.default_rng((self.sets[0].config.optimise.seed, number, MIXING))
        return self.sets[random.choice(len(self.sets), p=self.shares)][number]


def loader(volumes: Sequence[Path], config: Config, first_step: int) -> DataLoader:
    """Batches of `volumes` from `first_step` to the end of the schedule."""
    return batches(Patches(volumes, config, patches_of(config)), config, first_step)


def patches_of(config: Config) -> int:
    """How many patches the whole schedule takes."""
    return config.optimise.steps * config.optimise.batch


def batches(patches: Dataset, config: Config, first_step: int) -> DataLoader:
    """The patches from `first_step` on, in batches prepared in processes beside; the same for any number of them."""
    batch, workers = config.optimise.batch, config.optimise.workers
    rest = Subset(patches, range(first_step * batch, len(patches)))
    return DataLoader(rest, batch_size=batch, num_workers=workers, prefetch_factor=4, worker_init_fn=single_thread)


def single_thread(_worker: int) -> None:
    torch.set_num_threads(1)
