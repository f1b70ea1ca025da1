"""From a CT to organs as nnU-Net v2 finds them, step by step. No largest part is sought, no speck removed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..body import body_box
from ..contract import Clock
from ..drawing import Drawn
from ..errors import DamagedModel
from ..files.nifti import Scan
from ..grid import Box, Canonical, box_of
from ..model import Organ
from ..network import Network
from . import window
from .labels import Axis, Drawing, Labels, Regions
from .resample import Spacing, axis_apart, network_image
from .rows import Rows, longest_axis
from .rules import Rules

FEW_OUTPUTS = "The network has fewer outputs than organs.json says: install the model again."
OTHER_SIZE = "The network's answer is not as large as its patch: install the model again."
SAME_SPACING = 1e-5  # relative: the header's float32 and the affine's columns are then the same spacing


def draw(scan: Scan, organs: tuple[Organ, ...], rules: Rules, network: Network, clock: Clock) -> NnunetDrawing:
    """Raises UnusableInput or DamagedModel."""
    clock.start("preprocess")
    drawing = NnunetDrawing(scan, organs, rules, _channels(network, organs))
    canonical = drawing.canonical.view(scan.voxels)
    body_box(canonical, drawing.canonical.affine(scan.affine, canonical.shape))  # refuses what holds no patient
    hounsfield = drawing.transposed(scan.voxels)[drawing.crop]
    spacing = _spacing(scan, drawing.canonical, rules)
    image = network_image(hounsfield, spacing, rules, network.threads)
    clock.start("network")
    apart = axis_apart(rules, rules.spacing_mm, spacing)
    axes = [
        Axis.of(fine, coarse, rules.logits_order_z if axis == apart else rules.logits_order)
        for axis, (fine, coarse) in enumerate(zip(hounsfield.shape, image.shape))
    ]
    drawing.found = _predict(image, axes, drawing.target, drawing.channels, rules, network, clock)
    clock.start("postprocess")
    return drawing


class NnunetDrawing:
    """A drawing.Drawing.

    channels: of the network's output, those that matter; crop: the transposed image's box of values that are not 0;
    found: the boxes of the transposed and cropped image in which channels were found.
    """

    def __init__(self, scan: Scan, organs: tuple[Organ, ...], rules: Rules, channels: int):
        self.canonical = Canonical.of(scan.affine, rules.axes)
        self.transpose = rules.transpose
        self.crop = nonzero_box(self.transposed(scan.voxels))
        self.found: dict[int, Box] = {}
        self.channels: Sequence[int] = range(channels)
        self.target: Labels | Regions
        if rules.regions:
            self.channels = sorted({organ.channel for organ in organs if organ.channel is not None})
            bits = [np.zeros(scan.voxels.shape, np.uint8) for _ in self.channels[::8]]
            self.target = Regions([self.transposed(part)[self.crop] for part in bits], self.channels)
        else:
            labels = np.zeros(scan.voxels.shape, np.uint8 if channels <= 256 else np.uint16)
            self.target = Labels(self.transposed(labels)[self.crop])

    def transposed(self, voxels: np.ndarray) -> np.ndarray:
        """A view of an image [k, j, i] in the order in which the network sees it."""
        return self.canonical.view(voxels).transpose(self.transpose)

    def organ(self, organ: Organ) -> Drawn:
        assert organ.channel is not None  # as drawing.Drawing says
        box = self.found.get(organ.channel)
        if box is None:
            return Drawn()
        mask = self.target.mask(organ.channel, box)
        back = np.argsort(self.transpose)
        whole = [slice(part.start + crop.start, part.stop + crop.start) for part, crop in zip(box, self.crop)]
        return Drawn(mask.transpose(back), box_of(whole[axis] for axis in back))


def nonzero_box(image: np.ndarray) -> Box:
    """The box around all values that are not 0, to which nnU-Net crops: most often the whole CT, for air is -1000."""
    if (image[0] != 0).all() and (image[-1] != 0).all():
        return box_of(slice(0, n) for n in image.shape)
    seen = [np.zeros(n, bool) for n in image.shape]
    for z, plane in enumerate(image):
        inside = plane != 0
        seen[0][z] = inside.any()
        seen[1] |= inside.any(axis=1)
        seen[2] |= inside.any(axis=0)
    ends = (np.flatnonzero(along)[[0, -1]] for along in seen)
    return box_of(slice(int(first), int(last) + 1) for first, last in ends)


def _channels(network: Network, organs: tuple[Organ, ...]) -> int:
    """Channels of the network's output. Raises DamagedModel if it has not all that organs need."""
    channels = network.channels()
    if channels is None or channels <= max(organ.channel or 0 for organ in organs):
        raise DamagedModel(FEW_OUTPUTS)
    return channels


def _spacing(scan: Scan, canonical: Canonical, rules: Rules) -> Spacing:
    """mm, transposed. As the header gives it, whose float32 nnU-Net's readers take, where it is the affine's."""
    header = np.abs(scan.header["pixdim"][1:4].astype(np.float64))
    spacing = header if np.allclose(header, scan.spacing, rtol=SAME_SPACING, atol=0) else scan.spacing
    along = [float(spacing[canonical.order[2 - axis]]) for axis in range(3)]  # z, y, x
    z, y, x = (along[axis] for axis in rules.transpose)
    return z, y, x


def _predict(
    image: np.ndarray, axes: list[Axis], target: Labels | Regions, channels: Sequence[int], rules: Rules,
    network: Network, clock: Clock,
) -> dict[int, Box]:  # fmt: skip
    """Draw what the network finds in the image; the boxes in which channels were found.

    image: float32, transposed, at the network's spacing; axes: from its voxels to those of the CT.
    """
    z, y, x = image.shape
    size, inner = window.padded_shape((z, y, x), rules.patch), window.image_box((z, y, x), rules.patch)
    padded = np.zeros(size, np.float32)
    padded[inner] = image
    along = longest_axis(size, rules.patch)
    boxes = window.boxes(size, rules.patch, rules.step, along)
    rows = Rows(len(channels), size, boxes, window.gaussian(rules.patch), along, network.threads)
    drawing = Drawing(target, axes, along, network.threads)
    for number, box in enumerate(boxes):
        for axes_mirrored in rules.mirrorings:
            logits = _answer(network, padded[box], axes_mirrored)
            rows.add([logits[channel] for channel in channels], box, 1 / len(rules.mirrorings))
        last = number + 1 == len(boxes)
        following = size[along] if last else boxes[number + 1][along].start
        if following > box[along].start:
            needed = drawing.rows(_unpadded(rows.finished(following), inner, along), rows.first)
            if not last:
                rows.forget(needed)
        clock.progress((number + 1) / len(boxes))
    return drawing.boxes


def _answer(network: Network, patch: np.ndarray, mirrored: tuple[int, ...]) -> np.ndarray:
    """Logits (channels, z, y, x) of a patch; mirrored: the axes along which the network sees it mirrored."""
    logits = network.tile(np.ascontiguousarray(np.flip(patch, mirrored)))
    if logits.shape[1:] != patch.shape:
        raise DamagedModel(OTHER_SIZE)
    return np.flip(logits, tuple(axis + 1 for axis in mirrored))


def _unpadded(logits: np.ndarray, inner: Box, along: int) -> np.ndarray:
    """Without what was padded around the image. Along the axis of the rows there is padding only where there is but one
    row; what is held may else begin anywhere."""
    parts = list(inner)
    if inner[along].start == 0:
        parts[along] = slice(0, min(inner[along].stop, logits.shape[along + 1]))
    return logits[(slice(None), *parts)]
