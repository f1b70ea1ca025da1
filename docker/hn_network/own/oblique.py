"""The network grid for an image whose axes are turned against the patient's:
straight patient axes, sampled in space."""

from __future__ import annotations

from itertools import product

import numpy as np

from ..grid import AlignedGrid, Box, box_of

AIR_HU = -1000.0


class ObliqueGrid:
    """A network grid along the patient's axes over a turned image; has AlignedGrid's methods.

    The image is first brought to about the network's resolution along its own axes (nothing aliases, and there is eight
    times less to turn), then turned by trilinear interpolation. Probabilities go straight back to the image's voxels.
    """

    def __init__(self, aligned: AlignedGrid, affine: np.ndarray, spacing_mm: tuple[float, float, float]):
        """aligned: grid along the image's axes, isotropic; affine: (4, 4), canonical (x, y, z, 1) to LPS mm."""
        self.aligned = aligned
        self.affine = affine
        corners = np.array(
            [[*corner, 1] for corner in product(*((-0.5, n - 0.5) for n in aligned.canonical.shape[::-1]))]
        )
        low, high = (f((affine @ corners.T)[:3], axis=1) for f in (np.min, np.max))
        size = np.maximum(1, np.ceil((high - low) / spacing_mm).astype(int))
        self.shape = tuple(int(n) for n in size[::-1])
        self.to_patient = np.diag([*spacing_mm, 1.0])
        self.to_patient[:3, 3] = (low + high) / 2 - (size - 1) / 2 * np.array(spacing_mm)

    def box(self, image_box: Box, margin: int) -> Box:
        corners = _corners(image_box)
        network = np.linalg.inv(self.to_patient) @ self.affine @ corners
        return _surrounding(network, self.shape, margin)

    def sample(self, box: Box) -> np.ndarray:
        """HU in a box of the network grid, float32 [z, y, x]; outside the image air."""
        to_image = np.linalg.inv(self.affine) @ self.to_patient
        image_box = _surrounding(to_image @ _corners(box), self.aligned.canonical.shape, 2)
        work_box = self.aligned.box(image_box, 2)
        work = self.aligned.sample(work_box)
        scale, shift = np.ones(3), np.zeros(3)
        for a, (axis, part) in enumerate(zip(self.aligned.axes[::-1], work_box[::-1])):
            scale[a], shift[a] = 1 / axis.step, axis.index(0.0) - part.start
        to_work = np.diag([*scale, 1.0])
        to_work[:3, 3] = shift
        limits = np.array(self.aligned.canonical.shape[::-1]) - 0.5
        out = np.empty([part.stop - part.start for part in box], np.float32)
        for plane, z in zip(out, range(box[0].start, box[0].stop)):
            voxels = _plane(z, box[1], box[2])
            image = to_image @ voxels
            inside = ((image[:3] > -0.5) & (image[:3] < limits[:, None])).all(axis=0)
            values = np.full(voxels.shape[1], AIR_HU, np.float32)
            values[inside] = _trilinear(work, (to_work @ image[:, inside])[:3])
            plane[:] = values.reshape(plane.shape)
        return out

    def restore(self, probability: np.ndarray, box: Box) -> tuple[np.ndarray, Box]:
        to_network = np.linalg.inv(self.to_patient) @ self.affine
        image_box = _surrounding(np.linalg.inv(to_network) @ _corners(box), self.aligned.canonical.shape, 0)
        mask = np.empty([part.stop - part.start for part in image_box], np.uint8)
        first = np.array([[part.start] for part in box[::-1]])
        limits = np.array(probability.shape[::-1])[:, None] - 1
        for plane, z in zip(mask, range(image_box[0].start, image_box[0].stop)):
            position = (to_network @ _plane(z, image_box[1], image_box[2]))[:3] - first
            inside = ((position >= 0) & (position <= limits)).all(axis=0)
            values = np.zeros(position.shape[1], bool)
            values[inside] = _trilinear(probability, position[:, inside]) > 0.5
            plane[:] = values.reshape(plane.shape)
        return mask, image_box


def _corners(box: Box) -> np.ndarray:
    """Homogeneous (4, 8) corner voxels (x, y, z, 1) of a box (z, y, x)."""
    return np.array([[*c, 1] for c in product(*((part.start, part.stop - 1) for part in box[::-1]))], float).T


def _surrounding(points: np.ndarray, shape: tuple[int, ...], margin: int) -> Box:
    """The box (z, y, x) within `shape` around homogeneous points (4, n) in (x, y, z)."""
    low = np.floor(points[:3].min(axis=1)).astype(int)[::-1] - margin
    high = np.ceil(points[:3].max(axis=1)).astype(int)[::-1] + margin + 1
    return box_of(slice(max(0, min(int(a), n - 1)), max(1, min(int(b), n))) for a, b, n in zip(low, high, shape))


def _plane(z: int, rows: slice, columns: slice) -> np.ndarray:
    """Homogeneous voxels (4, n) of one plane, x fastest."""
    y, x = np.mgrid[rows, columns].reshape(2, -1)
    return np.stack([x, y, np.full(x.shape, z), np.ones(x.shape)]).astype(np.float64)


def _trilinear(volume: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Values of `volume` [z, y, x] at positions (3, n) in (x, y, z), edges going on."""
    upper = np.array(volume.shape[::-1])[:, None] - 1
    position = np.clip(position, 0, upper)
    base = np.minimum(position.astype(np.int32), np.maximum(upper - 1, 0))
    share = (position - base).astype(np.float32)
    step = np.array([1, volume.shape[2], volume.shape[1] * volume.shape[2]]) * (upper[:, 0] > 0)
    flat = volume.reshape(-1)
    start = base[0] + base[1] * volume.shape[2] + base[2] * (volume.shape[1] * volume.shape[2])
    result = np.zeros(position.shape[1], np.float32)
    for dz, dy, dx in product((0, 1), repeat=3):
        weight = (
            (share[0] if dx else 1 - share[0]) * (share[1] if dy else 1 - share[1]) * (share[2] if dz else 1 - share[2])
        )
        result += weight * flat[start + dx * step[0] + dy * step[1] + dz * step[2]]
    return result
