"""predict.py with an nnU-Net's model folder against nnunetv2 itself: each step, and the whole predictor.

The network tells balls apart by their density, so that both draw real organs without any training.
"""

import contextlib
import hashlib
import importlib.util
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

DOCKER = Path(__file__).resolve().parents[2] / "docker"
missing = [name for name in ("nnunetv2", "openvino", "cc3d") if importlib.util.find_spec(name) is None]
if missing:
    (pytest.fail if os.environ.get("CI") else pytest.skip)(
        f"{', '.join(missing)} needed here.", allow_module_level=True
    )

for name in ("raw", "preprocessed", "results"):
    os.environ.setdefault(f"nnUNet_{name}", "/nonexistent")  # it warns of a missing one while it is imported
os.environ["nnUNet_compile"] = "f"  # noqa: SIM112 - nnU-Net spells it so
sys.path.insert(0, str(DOCKER))

from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor  # noqa: E402
from nnunetv2.inference.sliding_window_prediction import (  # noqa: E402
    compute_gaussian,
    compute_steps_for_sliding_window,
)
from nnunetv2.preprocessing.resampling.default_resampling import (  # noqa: E402
    compute_new_shape,
    resample_data_or_seg_to_shape,
)
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager  # noqa: E402

from hn_network.nnunet import resample, rules, window  # noqa: E402 - found by the line above

ORGANS = {"Brainstem": 140.0, "Parotid_L": 300.0, "Parotid_R": 460.0, "Eye_L": 620.0}
PLACES = {
    "Brainstem": ((0, 10, 40), 22), "Parotid_L": ((45, 0, 0), 20), "Parotid_R": ((-45, 0, 0), 20),
    "Eye_L": ((30, -55, 45), 17),
}  # fmt: skip
CLIP, MEAN, STD = (-950.0, 1250.0), 42.5, 310.0
PREPROCESSING = {
    "axes": "LPS", "transpose": [0, 1, 2], "spacing_mm": [3.0, 2.5, 2.5], "patch": [32, 48, 40], "hu_clip": CLIP,
    "hu_shift": MEAN, "hu_scale": STD, "image_order": 3, "image_order_z": 0, "logits_order": 1, "logits_order_z": 0,
    "separate_z": None, "anisotropy": 3.0, "step": 0.5, "mirror_axes": [0, 1, 2], "mirroring": False,
}  # fmt: skip
RESAMPLINGS = [
    ((40, 61, 53), (3.0, 0.97, 0.97), (2.5, 1.0, 1.0)),
    ((40, 61, 53), (2.0, 1.0, 1.0), (3.0, 0.7, 0.8)),
    ((17, 61, 53), (5.0, 0.9, 0.9), (3.0, 1.0, 1.0)),
    ((61, 17, 53), (0.9, 5.0, 0.9), (1.0, 3.0, 1.0)),
    ((61, 53, 17), (0.9, 0.9, 3.0), (1.0, 1.0, 5.0)),
    ((40, 61, 53), (5.0, 0.97, 0.97), (5.0, 1.0, 1.0)),
    ((40, 33, 35), (1.0, 1.2, 1.1), (1.5, 1.5, 1.5)),
    ((9, 8, 7), (5.0, 5.0, 4.0), (1.0, 1.0, 1.0)),
    ((20, 21, 22), (1.0, 4.0, 4.0), (1.0, 2.0, 2.0)),
]


def rules_of(output: str = "labels", **changes) -> rules.Rules:
    return rules.parse({"preprocessing": {**PREPROCESSING, **changes}, "output": output})


@pytest.mark.parametrize(("shape", "spacing", "target"), RESAMPLINGS)
def test_image_is_resampled_alike(shape, spacing, target):
    hounsfield = np.random.default_rng(0).normal(0, 600, shape).astype(np.int16)
    own = rules_of(spacing_mm=target)
    values = resample.normalised(hounsfield, own)[None]
    expected = resample_data_or_seg_to_shape(
        values, compute_new_shape(shape, spacing, target), spacing, target, order=3, order_z=0, force_separate_z=None
    )[0]
    found = resample.network_image(hounsfield, spacing, own, 2)
    assert found.shape == expected.shape and np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize("patch", [(128, 128, 128), (32, 48, 40), (28, 256, 224), (5, 6, 7)])
def test_weights_of_a_patch(patch):
    """But for how the last bit of float16 is rounded."""
    half = compute_gaussian(patch, value_scaling_factor=10, device=torch.device("cpu"), dtype=torch.float16)
    expected, found = half.float().numpy(), window.gaussian(patch)
    assert np.abs(found - expected).max() <= np.abs(np.spacing(expected.astype(np.float16))).max()
    assert np.count_nonzero(found != expected) < 1e-4 * expected.size + 10


@pytest.mark.parametrize(
    ("shape", "patch", "step"),
    [((110, 200, 64), (64, 64, 64), 0.5), ((200, 334, 334), (128, 128, 128), 0.5), ((100, 90, 91), (40, 41, 42), 0.7)],
)
def test_where_patches_lie(shape, patch, step):
    steps = compute_steps_for_sliding_window(shape, patch, step)
    boxes = window.boxes(shape, patch, step, 0)
    assert [sorted({box[axis].start for box in boxes}) for axis in range(3)] == [sorted(set(axis)) for axis in steps]


class Bands(torch.nn.Module):
    """Logits that grow with the nearness to each organ's density, smoothed; 0 for the background."""

    def __init__(self, background: bool):
        super().__init__()
        centres = (torch.tensor(list(ORGANS.values())) - MEAN) / STD
        self.register_buffer("centres", centres.reshape(1, -1, 1, 1, 1))
        self.background = background

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        near = 12 - 12 * torch.abs(image - self.centres) / (80 / STD)
        smooth = torch.nn.functional.avg_pool3d(torch.clamp(near, min=-8), 3, 1, 1, count_include_pad=False)
        return torch.cat([image * 0, smooth], 1) if self.background else smooth


def write_ct(path: Path, shape, spacing, degrees: float = 0.0) -> None:
    """Balls in a head, as NIfTI along the patient's axes, or turned about the head's axis."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    directions = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing
    affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) - 1) / 2
    voxels = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    points = voxels @ affine[:3, :3].T + affine[:3, 3]
    hu = np.where(np.linalg.norm(points / [80, 95, 110], axis=-1) < 1, 40.0, -1000.0)
    for name, (centre, radius) in PLACES.items():
        hu[np.linalg.norm(points - np.array(centre), axis=-1) < radius] = ORGANS[name]
    hu += np.random.default_rng(1).normal(0, 8, shape)
    image = nib.Nifti1Image(np.rint(hu).astype(np.int16), np.diag([-1, -1, 1, 1]) @ affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)


def write_model(folder: Path, network: Bands, regions: bool, **changes) -> Path:
    folder.mkdir()
    torch.onnx.export(
        network, (torch.zeros(1, 1, 16, 16, 16),), folder / "network.onnx", input_names=["image"], dynamo=False,
        dynamic_axes={"image": {2: "z", 3: "y", 4: "x"}},
    )  # fmt: skip
    about = {
        "contract": 1,
        "name": "bands",
        "version": "0",
        "method": "nnunet",
        "output": "regions" if regions else "labels",
    }
    organs = [
        {"name": name, "channel": n + (not regions), "label": n + 1, "color": [n, n, n], "in_model": True}
        for n, name in enumerate(ORGANS)
    ]
    (folder / "model.json").write_text(json.dumps({**about, "preprocessing": {**PREPROCESSING, **changes}}))
    (folder / "organs.json").write_text(json.dumps({"organs": organs}))
    names = ("model.json", "network.onnx", "organs.json")
    sums = (f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    (folder / "SHA256SUMS").write_text("".join(sums))
    return folder


def theirs(ct: Path, out: Path, network: Bands, regions: bool, **changes) -> dict[str, np.ndarray]:
    """Every organ's mask [i, j, k] by nnunetv2's predictor."""
    own = {**PREPROCESSING, **changes}
    resampling = {
        f"resampling_fn_{of}{end}": value
        for of, order in (("data", 3), ("seg", 1), ("probabilities", 1))
        for end, value in (
            ("", "resample_data_or_seg_to_shape"),
            ("_kwargs", {"is_seg": of == "seg", "order": order, "order_z": 0, "force_separate_z": None}),
        )
    }
    configuration = {
        "data_identifier": "x", "preprocessor_name": "DefaultPreprocessor", "batch_size": 2,
        "patch_size": own["patch"], "spacing": own["spacing_mm"], "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False], "batch_dice": False, **resampling,
        "architecture": {"network_class_name": "none", "arch_kwargs": {}, "_kw_requires_import": []},
    }  # fmt: skip
    intensities = {"mean": MEAN, "std": STD, "percentile_00_5": CLIP[0], "percentile_99_5": CLIP[1]}
    plans = PlansManager({
        "dataset_name": "Dataset999_Balls", "plans_name": "nnUNetPlans", "image_reader_writer": "SimpleITKIO",
        "transpose_forward": own["transpose"], "transpose_backward": np.argsort(own["transpose"]).tolist(),
        "label_manager": "LabelManager", "configurations": {"3d_fullres": configuration},
        "foreground_intensity_properties_per_channel": {"0": intensities},
    })  # fmt: skip
    labels = {name: [n, n + 10] if regions else n for n, name in enumerate(ORGANS, start=1)}
    dataset = {"channel_names": {"0": "CT"}, "labels": {"background": 0, **labels}, "file_ending": ".nii.gz"}
    if regions:
        dataset["regions_class_order"] = list(range(1, len(ORGANS) + 1))
    predictor = nnUNetPredictor(
        tile_step_size=own["step"], use_mirroring=own["mirroring"], device=torch.device("cpu"), allow_tqdm=False
    )
    predictor.manual_initialization(
        network, plans, plans.get_configuration("3d_fullres"), [network.state_dict()], dataset, "nnUNetTrainer",
        tuple(own["mirror_axes"]),
    )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        predictor.predict_from_files_sequential([[str(ct)]], [str(out)], save_probabilities=regions)
    if regions:
        probabilities = np.load(f"{out}.npz")["probabilities"]
        return {name: probabilities[n].T > 0.5 for n, name in enumerate(ORGANS)}
    found = np.asarray(nib.load(f"{out}.nii.gz").dataobj)
    return {name: found == n for n, name in enumerate(ORGANS, start=1)}


CTS = {
    "plain": {"shape": (90, 100, 80), "spacing": (2.2, 2.2, 3.0)},
    "thick slices": {"shape": (150, 160, 45), "spacing": (1.4, 1.4, 5.0)},
    "oblique": {"shape": (90, 100, 80), "spacing": (2.2, 2.2, 3.0), "degrees": 14.0},
    "float spacing": {"shape": (99, 105, 86), "spacing": (1.953125, 1.953125, 2.79999)},
}
CASES = {
    **{name: (ct, {}) for name, ct in CTS.items()},
    "transposed": (CTS["float spacing"], {"transpose": [1, 0, 2], "spacing_mm": [2.0, 3.0, 2.6]}),
    "mirrored": (CTS["plain"], {"mirroring": True, "mirror_axes": [0, 2]}),
    "model of thick slices": (CTS["plain"], {"spacing_mm": [6.7, 2.0, 2.0], "patch": [20, 64, 64]}),
    "patch larger than the CT": (CTS["thick slices"], {"patch": [112, 64, 112]}),
    "regions": (CTS["plain"], {"regions": True}),
    "regions, thick slices": (CTS["thick slices"], {"regions": True}),
}


@pytest.mark.parametrize("case", CASES)
def test_whole_predictor(case, tmp_path):
    ct, changes = CASES[case]
    changes = dict(changes)
    regions = changes.pop("regions", False)
    network = Bands(background=not regions).eval()
    write_ct(tmp_path / "ct_0000.nii.gz", **ct)
    model = write_model(tmp_path / "model", network, regions, **changes)
    run = subprocess.run(
        [sys.executable, DOCKER / "predict.py", "--path", tmp_path / "ct_0000.nii.gz", "--output", tmp_path / "out",
         "--model", model, "--threads", "1"], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    expected = theirs(tmp_path / "ct_0000.nii.gz", tmp_path / "theirs", network, regions, **changes)
    millilitres = np.prod(ct["spacing"]) / 1000
    for name, mask in expected.items():
        found = np.asarray(nib.load(tmp_path / "out" / f"{name}.nii.gz").dataobj) > 0
        assert np.count_nonzero(mask) * millilitres > 5
        dice = 2 * np.count_nonzero(found & mask) / (np.count_nonzero(found) + np.count_nonzero(mask))
        assert dice >= 0.995, f"{name}: {dice:.5f}"
