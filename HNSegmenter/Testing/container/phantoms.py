"""A patient made of balls and a network that tells them apart by density: for tests of everything around a network."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PREDICT = Path(__file__).resolve().parents[3] / "docker" / "predict.py"
HU_CLIP, HU_SHIFT, HU_SCALE = (-400.0, 600.0), 100.0, 500.0
BODY_HU = 40
BAND_HU = 35  # half the width of an organ's band of densities

# name: (HU, centre in patient coordinates (mm, LPS, z from the middle of the neck up), radius in mm)
BALLS = {
    "Brainstem": (140, (0, 10, 40), 17),
    "SpinalCord": (220, (0, 35, -40), 14),
    "Parotid_L": (300, (50, 0, 10), 17),
    "Parotid_R": (380, (-50, 0, 10), 17),
    "Eye_L": (460, (32, -60, 55), 15),
    "Eye_R": (540, (-32, -60, 55), 15),
}


def patient_hu(points: np.ndarray) -> np.ndarray:
    """HU at points (..., 3) in patient coordinates, mm: an egg-shaped head in air, on a thin couch."""
    x, y, z = np.moveaxis(points, -1, 0)
    hu = np.full(x.shape, -1000.0)
    hu[(np.abs(y - 120) < 4) & (np.abs(x) < 120)] = -600
    hu[(x / 80) ** 2 + (y / 95) ** 2 + (z / 110) ** 2 < 1] = BODY_HU
    for name, (value, *_) in BALLS.items():
        hu[inside(name, points)] = value
    return hu


def inside(name: str, points: np.ndarray) -> np.ndarray:
    _, centre, radius = BALLS[name]
    return np.linalg.norm(points - np.array(centre), axis=-1) < radius


def grid_points(shape: tuple[int, int, int], affine_ras: np.ndarray) -> np.ndarray:
    """Patient coordinates (LPS, mm) of every voxel: (i, j, k, 3)."""
    voxels = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return (voxels @ affine_ras[:3, :3].T + affine_ras[:3, 3]) * [-1, -1, 1]


def centred_affine(directions: np.ndarray, spacing: tuple, shape: tuple) -> np.ndarray:
    """RAS affine of a grid around the patient's middle; directions: (3, 3), columns i, j, k in RAS."""
    affine = np.eye(4)
    affine[:3, :3] = directions * np.array(spacing)
    affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) - 1) / 2
    return affine


LPS = np.diag([-1.0, -1.0, 1.0])


def write_ct(
    path: Path, shape=(72, 80, 76), spacing=(3.0, 3.2, 3.0), directions=LPS, dtype=np.int16, patient=patient_hu
):
    """Write the phantom's CT; returns its RAS affine and the patient coordinates of its voxels."""
    affine = centred_affine(directions, spacing, shape)
    points = grid_points(shape, affine)
    noise = np.random.default_rng(1).normal(0, 5, shape)
    image = nib.Nifti1Image(np.rint(patient(points) + noise).astype(dtype), affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    return affine, points


def write_model(
    folder: Path, organs: Sequence[str] = tuple(BALLS), absent: tuple[str, ...] = (), multiple: int = 16, **rules
) -> Path:
    """A model folder whose network finds each organ by its density, without its mixed edge, and grows it by that.

    The codes are made up, but for the spinal cord's, by which the program knows it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    in_model = [name for name in organs if name not in absent]
    onnx.save(band_network([BALLS[name][0] for name in in_model]), folder / "network.onnx")
    entries = [
        {"name": name, "channel": in_model.index(name) + 1 if name in in_model else None, "label": label,
         "color": [10 * label, 20, 30],
         "code": {"value": "2748008" if name == "SpinalCord" else str(label), "scheme": "SCT", "meaning": name},
         "laterality": None, "in_model": name in in_model}
        for label, name in enumerate(organs, start=1)
    ]  # fmt: skip
    about = {
        "contract": 1, "name": "bands", "version": "1.2.3", "precision": "float32",
        "preprocessing": {"axes": "LPS", "spacing_mm": [2.0, 2.0, 3.0], "hu_clip": HU_CLIP, "hu_shift": HU_SHIFT,
                          "hu_scale": HU_SCALE, "multiple": multiple, "patch": [32, 48, 48], "overlap": 0.25, **rules},
    }  # fmt: skip
    (folder / "organs.json").write_text(json.dumps({"organs": entries}))
    (folder / "model.json").write_text(json.dumps(about))
    return seal(folder)


def seal(folder: Path) -> Path:
    """Write SHA256SUMS over what is in the model folder."""
    names = sorted(("model.json", "network.onnx", "organs.json"))
    sums = (f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    (folder / "SHA256SUMS").write_text("".join(sums))
    return folder


def band_network(values_hu: list[float], softmax: bool = True, background: bool = True) -> onnx.ModelProto:
    """Logits that grow with the nearness to each organ's HU, or their softmax; background wins outside every band.

    Eroding by one voxel removes the shells where one ball's density shades into another's;
    growing by two gives back the edge.
    """
    centres = (np.array(values_hu) - HU_SHIFT) / HU_SCALE
    band = BAND_HU / HU_SCALE
    tensors = {
        "centres": centres.astype(np.float32).reshape(1, -1, 1, 1, 1),
        "slope": np.float32(-20 / band).reshape(1),
        "band": np.float32(20).reshape(1),
    }
    pool = {"kernel_shape": [3, 3, 3], "pads": [1] * 6, "strides": [1, 1, 1]}
    wide = {"kernel_shape": [5, 5, 5], "pads": [2] * 6, "strides": [1, 1, 1]}
    nodes = [
        helper.make_node("Sub", ["image", "centres"], ["away"]),
        helper.make_node("Abs", ["away"], ["distance"]),
        helper.make_node("Mul", ["distance", "slope"], ["falling"]),
        helper.make_node("Add", ["falling", "band"], ["near"]),
        helper.make_node("Neg", ["near"], ["far"]),
        helper.make_node("MaxPool", ["far"], ["thick_far"], **pool),
        helper.make_node("Neg", ["thick_far"], ["core"]),
        helper.make_node("MaxPool", ["core"], ["grown"], **wide),
        helper.make_node("Sub", ["image", "image"], ["background"]),
        helper.make_node("Concat", ["background", "grown"] if background else ["grown"], ["logits"], axis=1),
        helper.make_node(
            "Softmax" if softmax else "Identity", ["logits"], ["found"], **({"axis": 1} if softmax else {})
        ),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, "z", "y", "x"])
    channels = len(values_hu) + background
    output = helper.make_tensor_value_info("found", TensorProto.FLOAT, [1, channels, "z", "y", "x"])
    constants = [numpy_helper.from_array(value, name) for name, value in tensors.items()]
    graph = helper.make_graph(nodes, "bands", [image], [output], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def predict(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess:
    """Run predict.py as the container does; stdout and stderr as text."""
    command = [sys.executable, str(PREDICT), *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, env={**os.environ, **environment}, check=False
    )


def events(run: subprocess.CompletedProcess) -> list[dict]:
    return [json.loads(line) for line in run.stdout.splitlines()]


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))
