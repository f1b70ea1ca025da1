"""A chest that is no one's: lungs, heart, spine, ribs, trachea and a table in air, with a scanner's noise."""

from __future__ import annotations

import numpy as np

SPACING_MM = (4.0, 4.0, 4.0)
AIR, LUNG, FAT, MUSCLE, BLOOD, MARROW, BONE = -1000, -830, -100, 50, 45, 180, 600


def chest_phantom(slices: int = 70, size: int = 110, seed: int = 0) -> np.ndarray:
    """HU, int16 [k, j, i] at SPACING_MM: 280 mm of a trunk from below the lungs to the shoulders, k upwards,
    j to the back."""
    x, y, z = _axes(slices, size)
    up = z / z.max()
    hu = np.full(x.shape, AIR, np.float32)
    shoulder = 1 + 0.25 * np.clip((up - 0.75) / 0.25, 0, 1)
    hu[_ellipse(x, y, 175 * shoulder, 115)] = FAT
    hu[_ellipse(x, y, 160 * shoulder, 100)] = MUSCLE
    wall = _ellipse(x, y, 145, 92) & ~_ellipse(x, y, 136, 84)
    hu[wall & (np.mod(z + 0.5 * np.abs(x) + 0.3 * y, 28) < 9) & (up < 0.9)] = BONE  # ribs
    dome = np.sqrt(np.clip(1 - ((up - 0.4) / 0.5) ** 2, 1e-6, 1))
    for side in (-72, 72):
        hu[_ellipse(x - side, y + 3, 58 * dome, 75 * dome)] = LUNG
    hu[(x - 20) ** 2 + (y + 35) ** 2 + (z - 0.35 * z.max()) ** 2 < 60**2] = BLOOD  # the heart
    hu[_ellipse(x + 8, y - 35, 13, 13)] = BLOOD  # the descending aorta
    hu[_ellipse(x, y - 62, 18, 14)] = MARROW
    hu[_ellipse(x, y - 62, 18, 14) & (np.mod(z, 32) < 6)] = 80  # discs
    hu[_ellipse(x, y - 84, 20, 10)] = BONE
    hu[_ellipse(x, y - 82, 9, 7)] = 30  # the spinal canal
    hu[_ellipse(x, y - 8, 9, 9) & (up > 0.5)] = AIR  # the trachea
    hu[(np.abs(y - 122) < 6) & (np.abs(x) < 200) & (hu < -900)] = -300  # the table
    hu += np.random.default_rng(seed).normal(0, 12, hu.shape)
    return np.rint(np.clip(hu, -1024, 3071)).astype(np.int16)


def _axes(slices: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """mm of every voxel: x and y from the middle of a slice, z from the lowest slice."""
    across = (np.arange(size) - (size - 1) / 2) * SPACING_MM[0]
    z, y, x = np.meshgrid(np.arange(slices) * SPACING_MM[2], across, across, indexing="ij")
    return x, y, z


def _ellipse(x: np.ndarray, y: np.ndarray, half_x, half_y) -> np.ndarray:
    return (x / half_x) ** 2 + (y / half_y) ** 2 < 1
