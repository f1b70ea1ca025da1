"""The way of the shipped model ("hn-network"): probabilities on a grid of its own, of each organ its largest part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..contract import Clock
from ..drawing import Drawn
from ..errors import DamagedModel
from ..files.nifti import Scan
from ..grid import Canonical
from ..model import Organ, Preprocessing
from ..network import Network
from . import postprocess, preprocess
from .parts import parts_of_organ
from .postprocess import Component
from .preprocess import NetworkInput
from .tiles import Blend, plan

LEAST_BODY_SHARE = 0.001  # tiles with less body are air: the network does not see them
CUT = "{} reaches a plane within the image beyond which nothing was measured: it may be incomplete."


def draw(scan: Scan, organs: tuple[Organ, ...], rules: Preprocessing, network: Network, clock: Clock) -> OwnDrawing:
    """Raises UnusableInput or DamagedModel."""
    clock.start("preprocess")
    prepared = preprocess.prepare(scan, rules, network.threads)
    clock.start("network")
    air = preprocess.scaled_air(rules)
    found = _segment(network, organs, rules, prepared, air, clock.progress)
    clock.start("postprocess")
    steps = np.diag(rules.spacing_mm)[::-1]
    components = {
        organ.name: postprocess.component_of(organ, found[organ.channel], prepared.box, steps)
        for organ in organs
        if organ.channel is not None
    }
    return OwnDrawing(scan, prepared, components)


class OwnDrawing:
    """A drawing.Drawing. components: by the organs' names."""

    def __init__(self, scan: Scan, prepared: NetworkInput, components: dict[str, Component | None]):
        self.scan, self.prepared, self.components = scan, prepared, components

    @property
    def canonical(self) -> Canonical:
        return self.prepared.canonical

    def organ(self, organ: Organ) -> Drawn:
        component = self.components[organ.name]
        if component is None:
            return Drawn()
        mask, box = self.prepared.grid.restore(component.probability, component.box)
        if self.prepared.void is not None and (void := self.prepared.void[box])[mask == 1].any():
            kept = parts_of_organ((mask == 1) & ~void, organ, self.canonical.steps(self.scan.affine))
            return Drawn() if kept is None else Drawn(kept, box, CUT.format(organ.name))
        shape = self.canonical.view(self.scan.voxels).shape
        if postprocess.is_speck(mask, box, shape, self.scan.voxel_ml):
            return Drawn()
        return Drawn(mask, box)


def _segment(
    network: Network,
    organs: tuple[Organ, ...],
    rules: Preprocessing,
    prepared: NetworkInput,
    air: float,
    progress: Callable[[float], None],
) -> dict[int, np.ndarray]:
    """Probability [z, y, x] of every channel that an organ uses. air: the scaled value that pads a tile."""
    image, body = prepared.image, prepared.body
    channels = sorted({organ.channel for organ in organs if organ.channel is not None})
    tiles = plan(image.shape, rules.patch, rules.multiple, rules.overlap)
    boxes = [box for box in tiles.boxes if body[box].mean() > LEAST_BODY_SHARE]
    blend = Blend(len(channels), image.shape, tiles.size)
    for number, box in enumerate(boxes):
        part = image[box]
        tile = np.full(tiles.size, air, np.float32)
        inner = tuple(slice(0, n) for n in part.shape)
        tile[inner] = part
        found = network.tile(tile)
        if max(channels) >= len(found):
            raise DamagedModel("The network has fewer outputs than organs.json says: install the model again.")
        chosen: tuple[Any, ...] = (channels, *inner)
        blend.add(found[chosen], box)
        progress((number + 1) / len(boxes))
    return dict(zip(channels, blend.result()))
