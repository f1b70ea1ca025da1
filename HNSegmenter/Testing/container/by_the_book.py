"""nnU-Net's way written down plainly, voxel by voxel and class by class, as slowly as it comes: what the program's
shortcuts are compared with. Against nnunetv2 itself, training/tests/test_nnunet_parity.py compares."""

from __future__ import annotations

import json
from itertools import combinations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import openvino
from scipy.ndimage import gaussian_filter, zoom


def by_the_book(ct: Path, model: Path) -> dict[str, np.ndarray]:
    """Every organ's mask, bool [i, j, k] of the CT."""
    about = json.loads((model / "model.json").read_text())
    rules, organs = about["preprocessing"], json.loads((model / "organs.json").read_text())["organs"]
    image = nib.load(ct)
    turning = nib.orientations.ornt_transform(
        nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(tuple(rules["axes"]))
    )
    turned = image.as_reoriented(turning)
    forward = rules["transpose"]
    array = turned.get_fdata().T.transpose(forward)
    spacing = np.array(turned.header.get_zooms(), float)[::-1][forward]
    inside = np.nonzero(array)
    crop = tuple(slice(axis.min(), axis.max() + 1) for axis in inside)
    hounsfield = array[crop]
    values = (np.clip(hounsfield, *rules["hu_clip"]) - rules["hu_shift"]) / max(rules["hu_scale"], 1e-8)
    shape = [round(a / b * n) for a, b, n in zip(spacing, rules["spacing_mm"], values.shape)]
    seen = resized(values, shape, apart(rules, spacing, rules["spacing_mm"]), rules["image_order"])
    logits = sliding_window(seen.astype(np.float32), model, rules)
    away = apart(rules, rules["spacing_mm"], spacing)
    fine = np.stack([resized(channel, hounsfield.shape, away, rules["logits_order"]) for channel in logits])
    masks = {}
    for organ in organs:
        found = fine[organ["channel"]] > 0 if about["output"] == "regions" else fine.argmax(axis=0) == organ["channel"]
        whole = np.zeros(array.shape, np.uint8)
        whole[crop] = found
        back = nib.Nifti1Image(whole.transpose(np.argsort(forward)).T, turned.affine)
        untwist = nib.orientations.ornt_transform(nib.io_orientation(turned.affine), nib.io_orientation(image.affine))
        masks[organ["name"]] = np.asarray(back.as_reoriented(untwist).dataobj) > 0
    return masks


def apart(rules: dict, current, new) -> int | None:
    for spacing in (current, new):
        if max(spacing) / min(spacing) > rules["anisotropy"]:
            longest = np.flatnonzero(np.array(spacing) == max(spacing))
            return int(longest[0]) if len(longest) == 1 else None
    return None


def resized(values: np.ndarray, shape, axis: int | None, order: int) -> np.ndarray:
    if tuple(shape) == values.shape:
        return values
    if axis is None:
        out = zoom(values, np.divide(shape, values.shape), order=order, mode="nearest", grid_mode=True)
        return np.clip(out, values.min(), values.max())
    plane = [n for a, n in enumerate(shape) if a != axis]
    planes = [resized(part, plane, None, order) for part in np.moveaxis(values, axis, 0)]
    nearest = np.floor((np.arange(shape[axis]) + 0.5) * (len(planes) / shape[axis])).astype(int)
    return np.moveaxis(np.array(planes)[np.minimum(nearest, len(planes) - 1)], 0, axis)


def sliding_window(image: np.ndarray, model: Path, rules: dict) -> np.ndarray:
    patch = rules["patch"]
    core = openvino.Core()
    network = core.compile_model(model / "network.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    more = [max(0, size - n) for size, n in zip(patch, image.shape)]
    padded = np.pad(image, [(n // 2, n - n // 2) for n in more])
    point = np.zeros(patch)
    point[tuple(n // 2 for n in patch)] = 1
    weight = gaussian_filter(point, [n / 8 for n in patch], mode="constant")
    weight = (weight / weight.max() * 10).astype(np.float16)
    weight[weight == 0] = weight[weight > 0].min()
    weight = weight.astype(float)
    starts = []
    for n, size in zip(padded.shape, patch):
        count = int(np.ceil((n - size) / (size * rules["step"]))) + 1
        starts.append([int(np.round((n - size) / max(count - 1, 1) * i)) for i in range(count)])
    total, counted = 0, np.zeros(padded.shape)
    mirrored = rules["mirror_axes"] if rules["mirroring"] else []
    flips = [axes for n in range(len(mirrored) + 1) for axes in combinations(mirrored, n)]
    for start in product(*starts):
        box = tuple(slice(a, a + size) for a, size in zip(start, patch))
        answers = [
            np.flip(
                network([np.ascontiguousarray(np.flip(padded[box], axes))[None, None]])[0][0], [a + 1 for a in axes]
            )
            for axes in flips
        ]
        if isinstance(total, int):
            total = np.zeros((len(answers[0]), *padded.shape))
        total[(slice(None), *box)] += weight * np.mean(answers, axis=0)
        counted[box] += weight
    inner = tuple(slice(n // 2, n // 2 + size) for n, size in zip(more, image.shape))
    return (total / counted)[(slice(None), *inner)]
