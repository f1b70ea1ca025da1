"""Variations of the values: noise and offset."""

from __future__ import annotations

from .scan import Draw, Scan, Variation, Varied, everything, like

NOISE_HU = 30.0


def again(scan: Scan, _draw: Draw) -> Varied:
    """The same CT a second time: the result has to be the same."""
    return Varied(scan.ct, everything(scan))


def noise(scan: Scan, draw: Draw) -> Varied:
    """White noise of 30 HU in every voxel."""
    return Varied(like(scan.hu + draw.random.normal(0, NOISE_HU, scan.hu.shape), scan.ct), everything(scan))


def offset(hu: int) -> Variation:
    """So many HU more everywhere, air included."""

    def add(scan: Scan, _draw: Draw) -> Varied:
        return Varied(like(scan.hu.astype(float) + hu, scan.ct), everything(scan))

    return add
