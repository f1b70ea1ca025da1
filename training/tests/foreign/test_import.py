"""nnU-Nets made by nnU-Net become model folders whose networks compute the same."""

import hashlib
import json
import shutil
import zipfile

import numpy as np
import onnxruntime
import openvino
import pytest
import torch
from tiny import DATASET, OLDER, PLAIN, PLAIN_PLANS, REGIONS, RESIDUAL, architecture, edit, plans_of, train

from hn_training.__main__ import main

OLDER_RESIDUAL = OLDER | {"UNet_class_name": "ResidualEncoderUNet"}
SHAPES = ((1, 1, 8, 16, 24), (1, 1, 12, 20, 12))
NETWORKS = {
    "plain": {"architecture": architecture("PlainConvUNet", PLAIN)},
    "residual": {"architecture": architecture("ResidualEncoderUNet", RESIDUAL)},
    "older plain": OLDER,
    "older residual": {
        "architecture": architecture(
            "ResidualEncoderUNet", RESIDUAL | {"features_per_stage": [4, 8, 8], "n_blocks_per_stage": [2, 1, 2]}
        )
    },
    "batch norm": {
        "architecture": architecture(
            "PlainConvUNet", PLAIN | {"norm_op": "torch.nn.BatchNorm3d", "nonlin_first": True, "conv_bias": False}
        )
    },
    "one size for all": {
        "architecture": architecture(
            "ResidualEncoderUNet",
            RESIDUAL | {"kernel_sizes": 3, "n_blocks_per_stage": 1, "stem_channels": 6, "nonlin": "torch.nn.ReLU"},
        )
    },
}


def run(monkeypatch, *arguments) -> int:
    monkeypatch.setattr("sys.argv", ["hn-training", "import-nnunet", *map(str, arguments)])
    return main()


def theirs(networks, image: np.ndarray) -> np.ndarray:
    """The mean of the folds' logits, by nnU-Net's own classes."""
    with torch.inference_mode():
        found = []
        for network in networks:
            network.decoder.deep_supervision = False
            found.append(network.eval()(torch.from_numpy(image)).numpy())
    return np.mean(found, axis=0)


def compare(model, networks) -> None:
    """ONNX Runtime and OpenVINO against nnU-Net's PyTorch, at two sizes."""
    session = onnxruntime.InferenceSession(model / "network.onnx", providers=["CPUExecutionProvider"])
    assert [(i.name, i.shape[:2]) for i in session.get_inputs()] == [("image", [1, 1])]
    compiled = openvino.Core().compile_model(model / "network.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for shape in SHAPES:
        image = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        expected = theirs(networks, image)
        for found in (session.run(None, {"image": image})[0], compiled(image)[0]):
            assert found.shape == expected.shape
            assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("network", NETWORKS)
def test_the_network_computes_what_nnunets_own_class_does(network, tmp_path, monkeypatch):
    folder, networks = train(tmp_path, plans_of(NETWORKS[network]), DATASET)
    if network == "older residual":  # nnU-Net looks for its class in all modules, some of which need torchvision
        (folder / "plans.json").write_text(json.dumps(plans_of(OLDER_RESIDUAL)))
    assert run(monkeypatch, folder, "--out", tmp_path / "model") == 0
    compare(tmp_path / "model", networks)


def test_folds_are_averaged_and_the_folder_is_whole(trained, tmp_path, monkeypatch, capsys):
    folder, networks = trained
    out = tmp_path / "deeper" / "model"
    assert run(monkeypatch, folder, "--out", out, "--name", "clinic", "--version", "2.1", "--mirroring") == 0
    compare(out, networks)
    one, two = (theirs([network], np.zeros(SHAPES[0], np.float32)) for network in networks)
    assert not np.allclose(one, two, atol=1e-2)  # so that the mean is another than either
    sums = [line.split() for line in (out / "SHA256SUMS").read_text().splitlines()]
    assert sums == [[hashlib.sha256((out / name).read_bytes()).hexdigest(), name] for _, name in sums]
    assert sorted(path.name for path in out.iterdir()) == ["SHA256SUMS", "model.json", "network.onnx", "organs.json"]
    about = json.loads((out / "model.json").read_text())
    assert (about["name"], about["version"], about["method"], about["output"]) == ("clinic", "2.1", "nnunet", "labels")
    assert about["preprocessing"] == {
        "axes": "LPS", "transpose": [0, 1, 2], "spacing_mm": [3.0, 1.5, 1.5], "patch": [16, 32, 32],
        "hu_clip": [-950.0, 1250.0], "hu_shift": 42.5, "hu_scale": 310.0, "image_order": 3, "image_order_z": 0,
        "logits_order": 1, "logits_order_z": 0, "separate_z": None, "anisotropy": 3.0, "step": 0.5,
        "mirror_axes": [0, 1, 2], "mirroring": True,
    }  # fmt: skip
    said = about["trained"]
    assert said.pop("imported") and said.pop("sha256") == [
        hashlib.sha256((folder / f"fold_{fold}/checkpoint_final.pth").read_bytes()).hexdigest() for fold in (0, 1)
    ]
    assert said == {
        "from": "nnunetv2", "dataset": "Dataset999_Tiny", "configuration": "3d_fullres", "trainer": "nnUNetTrainer",
        "plans": "nnUNetPlans", "network": "PlainConvUNet", "folds": [0, 1], "checkpoint": "checkpoint_final.pth",
    }  # fmt: skip
    organs = json.loads((out / "organs.json").read_text())["organs"]
    assert [(o["name"], o["channel"], o["label"], o["in_model"]) for o in organs] == [
        ("Brainstem", 1, 1, True), ("Parotid_L", 2, 2, True), ("Parotid_R", 3, 3, True), ("Larynx", 4, 4, True),
    ]  # fmt: skip
    assert (organs[1]["laterality"]["meaning"], organs[1]["code"]["value"]) == ("Left", "45289007")
    told = capsys.readouterr().out
    assert "LeftParotid -> Parotid_L (45289007 Parotid gland, Left)" in told and "Axes LPS, as SimpleITKIO" in told
    assert [path.name for path in out.parent.iterdir()] == ["model"]


def test_regions_channels_are_their_order_in_the_dataset(tmp_path, monkeypatch):
    """`ignore` has no channel, the background neither, and labels in the map's absence are the table's."""
    dataset = DATASET | {"labels": REGIONS | {"ignore": 4}, "regions_class_order": [3, 1, 2]}
    folder, networks = train(tmp_path, plans_of(NETWORKS["plain"]), dataset)
    (tmp_path / "map.csv").write_text("label;name;color\nParotids;Parotids;#ff8000\n", encoding="utf-8-sig")
    assert run(monkeypatch, folder, "--out", tmp_path / "model", "--organs", tmp_path / "map.csv") == 0
    compare(tmp_path / "model", networks)
    assert json.loads((tmp_path / "model" / "model.json").read_text())["output"] == "regions"
    organs = json.loads((tmp_path / "model" / "organs.json").read_text())["organs"]
    assert [(o["name"], o["channel"], o["label"]) for o in organs] == [
        ("Parotids", 0, 1), ("Brainstem", 1, 2), ("Parotid_L", 2, 3),
    ]  # fmt: skip
    assert organs[0]["color"] == [255, 128, 0]


def test_the_exported_zip_with_its_best_checkpoint_and_one_fold(trained, tmp_path, monkeypatch, capsys):
    folder, networks = trained
    copy = tmp_path / "Dataset999_Tiny" / folder.name
    shutil.copytree(folder, copy)
    for fold in (0, 1):
        (copy / f"fold_{fold}/checkpoint_final.pth").rename(copy / f"fold_{fold}/checkpoint_best.pth")
    edit(copy / "plans.json", image_reader_writer="NibabelIOWithReorient")
    packed = tmp_path / "export.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(copy.rglob("*")):
            archive.write(path, path.relative_to(tmp_path))
        archive.write(copy / "plans.json", "Dataset999_Tiny/nnUNetTrainer__nnUNetPlans__2d/plans.json")
        archive.write(copy / "plans.json", "Dataset999_Tiny/nnUNetTrainer__nnUNetPlans__2d/fold_0/checkpoint_best.pth")
    assert run(monkeypatch, packed, "--out", tmp_path / "model", "--folds", "1") == 0
    compare(tmp_path / "model", networks[1:])
    told = capsys.readouterr().out
    assert "checkpoint_best.pth was taken" in told and "Axes RAS, as NibabelIOWithReorient reads images." in told
    about = json.loads((tmp_path / "model" / "model.json").read_text())
    assert (about["preprocessing"]["axes"], about["trained"]["folds"]) == ("RAS", [1])


def test_a_map_leaves_labels_out_and_the_axes_are_chosen(trained, tmp_path, monkeypatch, capsys):
    given = {"LeftParotid": "", "RightParotid": {"name": "Parotid_R", "color": [1, 2, 3]}, "Larynx": "Prosthesis_L"}
    (tmp_path / "map.json").write_text(json.dumps(given))
    out = tmp_path / "model"
    assert run(monkeypatch, trained[0], "--out", out, "--organs", tmp_path / "map.json", "--axes", "RAS") == 0
    organs = json.loads((out / "organs.json").read_text())["organs"]
    assert [(o["name"], o["channel"]) for o in organs] == [("Brainstem", 1), ("Parotid_R", 3), ("Prosthesis_L", 4)]
    assert organs[1]["color"] == [1, 2, 3] and organs[1]["code"]["value"] == "45289007"
    assert organs[2]["code"] is None and organs[2]["laterality"]["meaning"] == "Left"
    assert json.loads((out / "model.json").read_text())["preprocessing"]["axes"] == "RAS"
    assert "left out: LeftParotid" in capsys.readouterr().out


def test_a_lowres_network_with_a_foreign_trainer_that_is_vouched_for(tmp_path, monkeypatch, capsys):
    plans = plans_of({})
    plans["configurations"] = {
        "3d_fullres": plans["configurations"]["3d_fullres"] | NETWORKS["plain"],
        "3d_lowres": {"inherits_from": "3d_fullres", "spacing": [6.0, 3.0, 3.0], "next_stage": "3d_cascade_fullres"},
    }
    plans |= {"transpose_forward": [1, 0, 2], "transpose_backward": [1, 0, 2]}
    folder, networks = train(tmp_path, plans, DATASET, configuration="3d_lowres", trainer="nnUNetTrainerOfMine")
    arguments = (folder, "--out", tmp_path / "model", "--configuration", "3d_lowres")
    assert run(monkeypatch, *arguments) == 2 and "--trainer nnUNetTrainerOfMine" in capsys.readouterr().err
    assert run(monkeypatch, *arguments, "--trainer", "nnUNetTrainerOfMine") == 0
    compare(tmp_path / "model", networks)
    about = json.loads((tmp_path / "model" / "model.json").read_text())
    assert about["name"] == "dataset999-tiny-3d-lowres" and about["preprocessing"]["transpose"] == [1, 0, 2]
    assert about["preprocessing"]["spacing_mm"] == [6.0, 3.0, 3.0]


def test_the_plans_are_nnunets_own(trained):
    """What the tests take for plans is what nnU-Net's manager of plans reads, older plans included."""
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from hn_training.foreign.nnunet.recipe import recipe

    for network in (NETWORKS["plain"], OLDER, OLDER_RESIDUAL):
        plans = plans_of(network)
        ours = recipe(plans["configurations"]["3d_fullres"])
        manager = PlansManager(json.loads(json.dumps(plans))).get_configuration("3d_fullres")
        said = manager.network_arch_init_kwargs
        assert manager.network_arch_class_name.endswith("." + ours.network)
        blocks = said.get("n_conv_per_stage") or said["n_blocks_per_stage"]
        assert (ours.features, ours.blocks) == (tuple(said["features_per_stage"]), tuple(blocks))
        assert (ours.strides, ours.kernels) == (
            tuple(map(tuple, said["strides"])), tuple(map(tuple, said["kernel_sizes"])),
        )  # fmt: skip
    assert json.loads((trained[0] / "plans.json").read_text()) == PLAIN_PLANS
