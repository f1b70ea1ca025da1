"""Tiny nnU-Nets made by nnU-Net itself: its trainer builds the network from plans, and writes the checkpoint."""

import contextlib
import io
import json
import os
import shutil
from copy import deepcopy
from pathlib import Path

import torch

LABELS = {"background": 0, "Brainstem": 1, "LeftParotid": 2, "RightParotid": 3, "Larynx": 4}
REGIONS = {"background": 0, "Parotids": [2, 3], "Brainstem": 1, "Parotid_L": 2}
DATASET = {"channel_names": {"0": "CT"}, "labels": LABELS, "numTraining": 2, "file_ending": ".nii.gz"}
ARCHITECTURES = "dynamic_network_architectures.architectures.unet."
PLAIN = {
    "n_stages": 3, "features_per_stage": [4, 6, 8], "conv_op": "torch.nn.modules.conv.Conv3d",
    "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]], "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
    "n_conv_per_stage": [2, 1, 2], "n_conv_per_stage_decoder": [1, 2], "conv_bias": True,
    "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d", "norm_op_kwargs": {"eps": 1e-05, "affine": True},
    "dropout_op": None, "dropout_op_kwargs": None, "nonlin": "torch.nn.LeakyReLU", "nonlin_kwargs": {"inplace": True},
}  # fmt: skip
RESIDUAL = {key: value for key, value in PLAIN.items() if key != "n_conv_per_stage"} | {"n_blocks_per_stage": [1, 2, 2]}
RESAMPLING = {
    f"resampling_fn_{of}{end}": value
    for of, order in (("data", 3), ("seg", 1), ("probabilities", 1))
    for end, value in (
        ("", "resample_data_or_seg_to_shape"),
        ("_kwargs", {"is_seg": of == "seg", "order": order, "order_z": 0, "force_separate_z": None}),
    )
}
CONFIGURATION = {
    "data_identifier": "nnUNetPlans_3d_fullres", "preprocessor_name": "DefaultPreprocessor", "batch_size": 2,
    "patch_size": [16, 32, 32], "median_image_size_in_voxels": [32.0, 64.0, 64.0], "spacing": [3.0, 1.5, 1.5],
    "normalization_schemes": ["CTNormalization"], "use_mask_for_norm": [False], "batch_dice": False, **RESAMPLING,
}  # fmt: skip
OLDER = {
    "UNet_class_name": "PlainConvUNet", "UNet_base_num_features": 4, "unet_max_num_features": 8,
    "n_conv_per_stage_encoder": [2, 1, 2], "n_conv_per_stage_decoder": [1, 2], "num_pool_per_axis": [1, 2, 2],
    "pool_op_kernel_sizes": PLAIN["strides"], "conv_kernel_sizes": PLAIN["kernel_sizes"],
}  # fmt: skip
"""A network as plans of 2023 describe it: 4, 8 and 8 features."""


def architecture(name: str, arguments: dict) -> dict:
    needed = ["conv_op", "norm_op", "dropout_op", "nonlin"]
    return {"network_class_name": ARCHITECTURES + name, "arch_kwargs": arguments, "_kw_requires_import": needed}


def plans_of(network: dict, **more) -> dict:
    """plans.json as nnU-Net 2.8.1 writes it; `network`: the part of the configuration that says which network."""
    intensities = {"max": 3000.0, "mean": 42.5, "median": 40.0, "min": -1000.0, "percentile_00_5": -950.0}
    return {
        "dataset_name": "Dataset999_Tiny", "plans_name": "nnUNetPlans", "image_reader_writer": "SimpleITKIO",
        "original_median_spacing_after_transp": [3.0, 1.5, 1.5], "original_median_shape_after_transp": [32, 64, 64],
        "transpose_forward": [0, 1, 2], "transpose_backward": [0, 1, 2], "label_manager": "LabelManager",
        "experiment_planner_used": "ExperimentPlanner", "configurations": {"3d_fullres": CONFIGURATION | network},
        "foreground_intensity_properties_per_channel": {"0": intensities | {"percentile_99_5": 1250.0, "std": 310.0}},
    } | more  # fmt: skip


PLAIN_PLANS = plans_of({"architecture": architecture("PlainConvUNet", PLAIN)})


def train(results: Path, plans: dict, dataset: dict, folds=(0,), configuration="3d_fullres", trainer="nnUNetTrainer"):
    """A result folder with untrained weights, written by nnU-Net's trainer. Gives it and the trainer's networks."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    home = os.environ["nnUNet_preprocessed"]  # noqa: SIM112 - nnU-Net spells it so
    prepared = Path(home, plans["dataset_name"], CONFIGURATION["data_identifier"])
    prepared.mkdir(parents=True, exist_ok=True)
    (prepared / "case.b2nd").touch()  # by its name the trainer knows the kind of data
    kind = nnUNetTrainer if trainer == "nnUNetTrainer" else type(trainer, (nnUNetTrainer,), {})
    networks = []
    for fold in folds:
        torch.manual_seed(hash(fold) % 1000)
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its plans
            made = kind(
                deepcopy(plans) | {"continue_training": False}, configuration, fold, dataset, torch.device("cpu")
            )
            made.initialize()
            made.configure_rotation_dummyDA_mirroring_and_inital_patch_size()  # sets the axes to mirror along
        for layer in made.network.modules():  # biases and norms start at 0 and 1, which would hide a mix-up
            for weight in layer.parameters(recurse=False):
                weight.data += 0.1 * torch.randn_like(weight)
        folder = Path(made.output_folder)
        made.logger.log("mean_fg_dice", 0.5, 0)
        made.save_checkpoint(str(folder / "checkpoint_final.pth"))
        networks.append(made.network)
    for name, content in (("plans.json", plans), ("dataset.json", dataset)):
        (folder.parent / name).write_text(json.dumps(content, indent=4))
    target = results / folder.parent.name
    shutil.move(folder.parent, target)
    return target, networks


def edit(path: Path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
