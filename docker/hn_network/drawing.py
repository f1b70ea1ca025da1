"""What every method of finding organs gives back, and what is the same for all: writing the organs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from . import contract
from .files.labelmap import write_labelmap
from .files.nifti import Scan
from .grid import Box, Canonical
from .model import Organ


@dataclass(frozen=True)
class Drawn:
    """mask: bool or uint8 0/1 [z, y, x] in `box` of the canonical image, None for an organ that was not found; warning:
    a sentence about it, or None."""

    mask: np.ndarray | None = None
    box: Box | None = None
    warning: str | None = None


class Drawing(Protocol):
    """A CT that a method has segmented."""

    @property
    def canonical(self) -> Canonical:
        """Of the masks."""

    def organ(self, organ: Organ) -> Drawn:
        """Draw an organ that the model has; called from several threads."""


def write_organs(
    output: Path, scan: Scan, drawing: Drawing, organs: tuple[Organ, ...], threads: int
) -> tuple[list[dict], list[str]]:
    """Write every organ's labelmap; their entries in result.json, and what there is to warn of."""
    with ThreadPoolExecutor(threads) as pool:
        written = list(pool.map(lambda organ: _write(output, scan, drawing, organ), organs))
    return [entry for entry, _ in written], [sentence for _, sentence in written if sentence]


def _write(output: Path, scan: Scan, drawing: Drawing, organ: Organ) -> tuple[dict, str | None]:
    if organ.channel is None:
        return contract.organ_entry(organ, None, "not in this model", 0, 0.0), None
    drawn = drawing.organ(organ)
    file = f"{organ.name}.nii.gz"
    voxels = write_labelmap(output / file, scan, drawing.canonical, drawn.mask, drawn.box)
    status = "found" if voxels else "not found"
    return contract.organ_entry(organ, file, status, voxels, voxels * scan.voxel_ml), drawn.warning
