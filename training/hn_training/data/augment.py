"""Random changes that stand for what a clinic's CT has and the training CTs lack.

MONAI-style random transforms over dicts of "image" (1, z, y, x) float HU, "labels" and "unknown"
(1, z, y, x) classes and unknown bits. Axis x runs to the patient's left, y to the back, z to the head.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from monai.transforms import Compose, MapTransform, RandAffined, RandGaussianSmoothd, Randomizable
from torch.nn import functional as F

from ..config import ORGANS, Augment, Grid, mirrored_classes, three
from ..grid import AIR_HU, BODY_HU, window

KEYS = ("image", "labels", "unknown")
ALL_UNKNOWN = (1 << len(ORGANS)) - 1
SOFT_MM, BAND_MM, NEAR_MM = (2.0, 5.0), 4.0, 12.0
"""Of a blanked half-space: the width of a soft edge, how far beyond it an organ is unknown (a voxel of the
network's output), and how near to a voxel of an organ planes lie that are to cut it (standard deviation)."""


class RandomTransform(Randomizable, MapTransform):
    """Applies `change` with a given probability; MONAI seeds `self.R`."""

    def __init__(self, probability: float):
        MapTransform.__init__(self, KEYS)
        self.probability = probability

    def __call__(self, data: dict) -> dict:
        return self.change(dict(data)) if self.R.random() < self.probability else data

    def change(self, data: dict) -> dict:
        raise NotImplementedError


class MirrorSides(RandomTransform):
    """Mirrors left and right; paired organs swap their classes and unknown bits."""

    def __init__(self, probability: float):
        super().__init__(probability)
        self.order = torch.tensor(mirrored_classes())

    def change(self, data: dict) -> dict:
        flipped = {key: value.flip(-1) for key, value in data.items()}
        bits = torch.zeros_like(flipped["unknown"])
        for organ, twin in enumerate(self.order[1:].tolist()):
            bits |= ((flipped["unknown"] >> organ) & 1) << (twin - 1)
        return flipped | {"labels": self.order[flipped["labels"].long()].to(torch.uint8), "unknown": bits}


class BlankHalfSpace(RandomTransform):
    """Blanks all beyond a plane: half of the times above or below, as a cut scan does, else in any direction; half of
    the times through or close by a drawn organ.

    The edge is as sharp as a scan's last slice, or as soft as voxels of a CT beside blanked ones become on the
    network's grid. Organs that are blanked are background from then on: the network must not guess them.
    Within BAND_MM of the edge they are unknown: the network sees too coarsely to stop at it, and would rather stop
    before.
    """

    def __init__(self, probability: float, grid: Grid):
        super().__init__(probability)
        self.spacing = torch.tensor(grid.spacing_mm[::-1])

    def change(self, data: dict) -> dict:
        depth = self.depth(data["image"].shape[1:])
        depth = depth - self.limit(depth, data["labels"][0])
        soft = self.R.uniform(*SOFT_MM) if self.R.random() < 0.7 else 0.0
        share = ((depth / soft).clamp(0, 1) if soft else (depth > 0).float())[None]
        depth = depth[None] - soft / 2  # a CT's voxel shows what lies up to half of the way to the next
        gone, drawn = depth > 0, data["labels"] > 0
        near = gone & (depth < BAND_MM) & drawn
        return {
            "image": data["image"] + share * (AIR_HU - data["image"]),
            "labels": data["labels"].masked_fill(gone, 0),
            "unknown": torch.where(near, ALL_UNKNOWN, data["unknown"].masked_fill(gone, 0)).to(torch.uint8),
        }

    def depth(self, shape: Sequence[int]) -> torch.Tensor:
        """mm (z, y, x) from the patch's middle towards the blanked side."""
        normal = self.direction()
        normal /= np.linalg.norm(normal)
        steps = [mm * part * (torch.arange(n) - (n - 1) / 2) for n, mm, part in zip(shape, self.spacing, normal)]
        return (steps[0].view(-1, 1, 1) + steps[1].view(1, -1, 1) + steps[2].view(1, 1, -1)).float()

    def limit(self, depth: torch.Tensor, labels: torch.Tensor) -> float:
        """How deep the plane lies: anywhere from the middle on, or near a voxel of one of the organs in the patch."""
        organs = labels.unique()[1:] if (labels == 0).any() else labels.unique()
        if len(organs) == 0 or self.R.random() < 0.5:
            return self.R.uniform(-0.1, 0.95) * float(depth.max())
        depths = depth[labels == organs[self.R.randint(len(organs))]]
        return float(depths[self.R.randint(len(depths))]) + self.R.normal(0, NEAR_MM)

    def direction(self) -> np.ndarray:
        """Where the blanked side lies, (z, y, x)."""
        if self.R.random() < 0.5:
            return np.array([self.R.choice([-1.0, 1.0]), 0, 0]) + self.R.normal(0, self.R.choice([0.02, 0.4]), 3)
        return self.R.normal(size=3)


class BlankBox(RandomTransform):
    """Blanks a box inside the patch, half of the times a slab through all of it; blanked organs are background."""

    def change(self, data: dict) -> dict:
        shape = data["image"].shape[1:]
        sizes = [self.R.uniform(0.1, 0.5) for _ in shape]
        if self.R.random() < 0.5:
            sizes = [sizes[0] / 2, 1.0, 1.0]
        starts = [self.R.uniform(0, 1 - size) for size in sizes]
        box = (slice(None), *(slice(int(a * n), math.ceil((a + s) * n)) for a, s, n in zip(starts, sizes, shape)))
        changed = {key: value.clone() for key, value in data.items()}
        for key, value in changed.items():
            value[box] = AIR_HU if key == "image" else 0
        return changed


class PaintCouch(RandomTransform):
    """A curved plate behind the patient, in air only."""

    def change(self, data: dict) -> dict:
        image = data["image"]
        depth, height, width = image.shape[1:]
        top = self.R.uniform(0.45, 0.95) * height + self.R.normal(0, 0.1) * torch.arange(depth).view(-1, 1, 1)
        bow = self.R.uniform(-0.15, 0.25) * height * torch.linspace(-1, 1, width).view(1, 1, -1) ** 2
        inside = (torch.arange(height).view(1, -1, 1) - top + bow).abs() < self.R.uniform(0.6, 8)
        return data | {"image": fill_air(image, inside[None], self.R.uniform(-600, 300))}


class PaintMask(RandomTransform):
    """A thin shell around the body, as a thermoplastic mask."""

    def change(self, data: dict) -> dict:
        body = (data["image"] > BODY_HU).float()
        inner = F.max_pool3d(body, 3, 1, 1) > 0 if self.R.random() < 0.5 else body > 0
        outer = F.max_pool3d(inner.float(), 3, 1, 1) > 0
        return data | {"image": fill_air(data["image"], outer & ~inner, self.R.uniform(-500, 100))}


class ScannerLook(RandomTransform):
    """Shifts and stretches HU, and adds noise."""

    def __init__(self, settings: Augment):
        super().__init__(1.0)
        self.settings = settings

    def change(self, data: dict) -> dict:
        settings = self.settings
        gain = 1 + self.R.uniform(-settings.gain, settings.gain)
        image = data["image"] * gain + self.R.uniform(-settings.offset_hu, settings.offset_hu)
        noise = torch.Generator().manual_seed(int(self.R.randint(2**31)))
        sigma = self.R.uniform(0, settings.noise_hu)
        return data | {"image": image + sigma * torch.randn(image.shape, generator=noise)}


def fill_air(image: torch.Tensor, where: torch.Tensor, hu: float) -> torch.Tensor:
    return torch.where(where & (image < BODY_HU), torch.as_tensor(hu, dtype=image.dtype), image)


class Window(MapTransform):
    """HU to the network's input; the last step."""

    def __init__(self):
        super().__init__(KEYS)

    def __call__(self, data: dict) -> dict:
        return dict(data) | {"image": window(data["image"])}


def oversized(grid: Grid, settings: Augment) -> tuple[int, int, int]:
    """Patch size (z, y, x) to cut so that rotation and scaling rarely look outside of it."""
    grow = (1 + settings.scale) * (1 + math.sin(math.radians(settings.rotation_deg)) / 2)
    return three(math.ceil(n * grow) for n in grid.patch_zyx)


def training_transforms(grid: Grid, settings: Augment) -> Compose:
    angle = math.radians(settings.rotation_deg)
    move = RandAffined(
        KEYS,
        spatial_size=grid.patch_zyx,
        prob=1.0,
        rotate_range=[angle] * 3,
        scale_range=[settings.scale] * 3,
        mode=["bilinear", "nearest", "nearest"],
        padding_mode="border",
    )
    return Compose(
        [
            move,
            AsBytes(),
            MirrorSides(settings.flip),
            BlankHalfSpace(settings.blank, grid),
            BlankBox(settings.blank_box),
            PaintCouch(settings.couch),
            PaintMask(settings.mask),
            RandGaussianSmoothd(["image"], *[(0.3, 0.9)] * 3, prob=settings.blur),
            ScannerLook(settings),
            Window(),
        ]
    )


class AsBytes(MapTransform):
    """Back to plain tensors, classes and bits as uint8, after the interpolating transform."""

    def __init__(self):
        super().__init__(KEYS)

    def __call__(self, data: dict) -> dict:
        plain = {key: torch.as_tensor(data[key]) for key in KEYS}
        return {
            key: value.as_subclass(torch.Tensor) if key == "image" else value.as_subclass(torch.Tensor).to(torch.uint8)
            for key, value in plain.items()
        }
