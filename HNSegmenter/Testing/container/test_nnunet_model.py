"""A model folder of method "nnunet" that is not whole or does not fit its network: a sentence, and no files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hn_network.errors import DamagedModel
from hn_network.model import load_model
from Testing.container.nnunets import PREPROCESSING, write_nnunet
from Testing.container.phantoms import events, predict, seal, write_ct


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_nnunet(tmp_path_factory.mktemp("model"), ["Parotid_L", "Eye_R"])


@pytest.fixture(scope="module")
def ct(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("ct") / "ct.nii"
    write_ct(path, (60, 66, 64), (3.6, 3.8, 3.6))
    return path


def refused(folder: Path, ct: Path, out: Path) -> str:
    """The sentence with which the program ends."""
    run = predict("--path", ct, "--output", out, "--model", seal(folder))
    assert run.returncode == 1 and "Traceback" not in run.stderr
    assert list(out.iterdir()) == []
    return events(run)[-1]["message"]


def change(folder: Path, file: str, edit) -> None:
    values = json.loads((folder / file).read_text())
    edit(values)
    (folder / file).write_text(json.dumps(values))


WRONG = {
    "axes": ("LAS", "axes"), "transpose": ([0, 1, 1], "transpose"), "spacing_mm": ([1.0, 1.0], "spacing_mm"),
    "patch": ([32, 32, 0], "patch"), "hu_clip": ([600, -400], "hu_clip"), "hu_shift": ("much", "much"),
    "hu_scale": (None, "TypeError"), "image_order": (2, "image_order"), "logits_order": (3, "logits_order"),
    "image_order_z": (5, "image_order_z"), "logits_order_z": (-1, "logits_order_z"),
    "separate_z": ("yes", "separate_z"),
    "anisotropy": (float("nan"), "anisotropy"), "step": (0, "step"), "mirror_axes": ([0, 3], "mirror_axes"),
    "mirroring": ("true", "mirroring"),
}  # fmt: skip


def test_every_key_is_tried():
    assert set(WRONG) == set(PREPROCESSING)


@pytest.mark.parametrize("key", PREPROCESSING)
@pytest.mark.parametrize("missing", [True, False])
def test_a_missing_or_senseless_rule(key, missing, model, tmp_path):
    folder = shutil.copytree(model, tmp_path / "model")
    value, named = WRONG[key]
    change(folder, "model.json", lambda about: about["preprocessing"].pop(key))
    if not missing:
        change(folder, "model.json", lambda about: about["preprocessing"].update({key: value}))
    with pytest.raises(DamagedModel) as refusal:
        load_model(seal(folder))
    message = str(refusal.value)
    assert (key if missing else named) in message and message.endswith("install the model again.")


def test_it_is_said_as_any_fault(model, ct, tmp_path):
    folder = shutil.copytree(model, tmp_path / "model")
    change(folder, "model.json", lambda about: about["preprocessing"].pop("patch"))
    assert "patch" in refused(folder, ct, tmp_path / "out")


@pytest.mark.parametrize(
    ("file", "edit", "named"),
    [
        ("model.json", lambda about: about.update(method="nnunet-v1"), "nnunet-v1"),
        ("model.json", lambda about: about.update(method=3), "method"),
        ("model.json", lambda about: about.update(output="probabilities"), "probabilities"),
        ("model.json", lambda about: about.pop("output"), "output"),
        ("model.json", lambda about: about.update(preprocessing=None), "TypeError"),
        ("model.json", lambda about: about["preprocessing"].update(patch=[32.5, 32, 32]), "32.5"),
        ("organs.json", lambda entries: entries["organs"][0].update(channel=-1), "-1"),
        ("organs.json", lambda entries: entries["organs"][0].update(channel="1"), "'1'"),
        ("organs.json", lambda entries: entries["organs"][0].update(channel=0), "background"),
    ],
)
def test_a_description_that_does_not_fit(file, edit, named, model, tmp_path):
    folder = shutil.copytree(model, tmp_path / "model")
    change(folder, file, edit)
    with pytest.raises(DamagedModel, match=named):
        load_model(seal(folder))


def test_more_organs_than_outputs(model, ct, tmp_path):
    folder = shutil.copytree(model, tmp_path / "model")
    change(folder, "organs.json", lambda entries: entries["organs"][0].update(channel=3))
    assert "fewer outputs" in refused(folder, ct, tmp_path / "out")


def graph(nodes: list, channels: int, **constants) -> onnx.ModelProto:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, "z", "y", "x"])
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, channels, None, None, None])
    values = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    made = helper.make_graph(nodes, "odd", [image], [output], values)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


THREE = helper.make_node("Concat", ["image", "image", "image"], ["three"], axis=1)
NETWORKS = {
    "smaller": (
        graph([THREE, helper.make_node("MaxPool", ["three"], ["logits"], kernel_shape=[2] * 3, strides=[2] * 3)], 3),
        "as large as its patch",
    ),
    "no numbers": (
        graph([THREE, helper.make_node("Mul", ["three", "nan"], ["logits"])], 3, nan=np.float32([np.nan])),
        "no numbers",
    ),
    "too large": (
        graph([THREE, helper.make_node("Mul", ["three", "big"], ["logits"])], 3, big=np.float32([1e9])),
        "no numbers",
    ),
    "of one size": (
        graph(
            [THREE, helper.make_node("Add", ["three", "fixed"], ["logits"])], 3, fixed=np.ones((20, 20, 20), np.float32)
        ),
        "can't be loaded",
    ),
}


@pytest.mark.parametrize("case", NETWORKS)
def test_a_network_that_does_not_fit(case, ct, tmp_path):
    network, named = NETWORKS[case]
    folder = write_nnunet(tmp_path / "model", ["Parotid_L", "Eye_R"], network=network)
    assert named in refused(folder, ct, tmp_path / "out")
