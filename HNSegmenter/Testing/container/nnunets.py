"""nnU-Nets made by hand: model folders of method "nnunet" around small networks, for the phantom of balls."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import onnx

from Testing.container.phantoms import BALLS, HU_CLIP, HU_SCALE, HU_SHIFT, band_network, seal

PREPROCESSING = {
    "axes": "LPS", "transpose": [0, 1, 2], "spacing_mm": [3.0, 3.0, 3.0], "patch": [32, 40, 48],
    "hu_clip": HU_CLIP, "hu_shift": HU_SHIFT, "hu_scale": HU_SCALE,
    "image_order": 3, "image_order_z": 0, "logits_order": 1, "logits_order_z": 0, "separate_z": None, "anisotropy": 3.0,
    "step": 0.5, "mirror_axes": [0, 1, 2], "mirroring": False,
}  # fmt: skip


def write_nnunet(
    folder: Path,
    organs: Sequence[str] = tuple(BALLS),
    undrawn: Sequence[str] = (),
    regions: bool = False,
    network: onnx.ModelProto | None = None,
    **rules,
) -> Path:
    """A model folder whose network finds each organ by its density.

    undrawn: organs that the network knows and organs.json does not; network: another one, with as many channels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    known = [*organs, *undrawn]
    bands = network or band_network([BALLS[name][0] for name in known], softmax=False, background=not regions)
    onnx.save(bands, folder / "network.onnx")
    entries = [
        {"name": name, "channel": known.index(name) + (not regions), "label": label, "color": [10 * label, 20, 30],
         "code": None, "laterality": None, "in_model": True}
        for label, name in enumerate(organs, start=1)
    ]  # fmt: skip
    about = {
        "contract": 1, "name": "balls", "version": "0.1", "method": "nnunet", "precision": "float32",
        "preprocessing": {**PREPROCESSING, **rules}, "output": "regions" if regions else "labels",
        "trained": {"from": "nothing"},
    }  # fmt: skip
    (folder / "organs.json").write_text(json.dumps({"organs": entries}))
    (folder / "model.json").write_text(json.dumps(about))
    return seal(folder)
