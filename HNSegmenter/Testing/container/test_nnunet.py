"""An nnU-Net's model folder gives on any CT what nnU-Net's own steps, one after the other, give."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import nibabel as nib
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from Testing.container.by_the_book import by_the_book
from Testing.container.nnunets import write_nnunet
from Testing.container.phantoms import (
    BALLS,
    PREDICT,
    band_network,
    events,
    inside,
    patient_hu,
    predict,
    seal,
    write_ct,
)
from Testing.container.test_grid import axes, turned

CT = {"shape": (72, 80, 76), "spacing": (3.0, 3.2, 3.0)}
CASES = {
    "plain": ({}, {}),
    "RAS": ({}, {"axes": "RAS"}),
    "a CT that lies otherwise": ({"directions": axes("PIR")}, {}),
    "the same, RAS": ({"directions": axes("ASL")}, {"axes": "RAS", "spacing_mm": [2.5, 3.5, 4.0]}),
    "turned 12 degrees": ({"directions": turned(0, 12)}, {}),
    "turned 30 degrees, coronal": ({"directions": turned(1, 30, axes("LSA"))}, {"axes": "RAS"}),
    "thick slices": ({"shape": (110, 120, 36), "spacing": (1.9, 2.1, 6.6)}, {"spacing_mm": [3.0, 2.0, 2.0]}),
    "thick slices, coronal": (
        {"shape": (110, 36, 120), "spacing": (1.9, 7.0, 2.1), "directions": axes("LSA")},
        {"spacing_mm": [3.0, 2.0, 2.0]},
    ),
    "model of thick slices": ({}, {"spacing_mm": [6.5, 2.1, 2.1], "patch": [16, 64, 64]}),
    "transposed": ({}, {"transpose": [2, 0, 1], "spacing_mm": [4.0, 3.0, 2.5]}),
    "transposed, thick slices": (
        {"shape": (36, 110, 120), "spacing": (6.6, 2.1, 1.9)},
        {"transpose": [2, 0, 1], "spacing_mm": [3.0, 2.0, 2.0], "image_order_z": 0},
    ),
    "mirrored": ({}, {"mirroring": True, "mirror_axes": [0, 2]}),
    "patch larger than the CT": ({}, {"patch": [96, 40, 112]}),
    "patch larger along every axis": ({}, {"patch": [81, 90, 91]}),
    "the network's spacing": ({"spacing": (3.0, 3.0, 3.0)}, {}),
    "narrow steps": ({}, {"step": 0.3, "patch": [48, 48, 64]}),
    "one axis as it is": ({"spacing": (3.0, 3.0, 2.2)}, {}),
    "finer than the CT": ({"shape": (54, 62, 60), "spacing": (4.0, 4.0, 3.8)}, {"spacing_mm": [2.5, 2.5, 2.5]}),
    "coarser than the CT": ({"shape": (120, 120, 100), "spacing": (1.8, 2.0, 2.3)}, {"spacing_mm": [5.0, 5.0, 4.0]}),
    "float spacing": ({"spacing": (2.9296875, 2.9296875, 2.9999)}, {}),
}  # fmt: skip


def compare(ct, model, out, least=50) -> dict[str, np.ndarray]:
    """Run predict.py and compare every organ, voxel by voxel; float32 may decide a tie otherwise than float64."""
    run = predict("--path", ct, "--output", out, "--model", model)
    assert run.returncode == 0, run.stdout + run.stderr
    masks = {}
    for name, expected in by_the_book(ct, model).items():
        masks[name] = np.asarray(nib.load(out / f"{name}.nii.gz").dataobj) > 0
        assert np.count_nonzero(expected) >= least, name
        assert np.count_nonzero(masks[name] != expected) <= max(2, 2e-4 * np.count_nonzero(expected)), name
    return masks


@pytest.mark.parametrize("case", CASES)
def test_as_by_the_book(case, tmp_path):
    ct, rules = CASES[case]
    _, points = write_ct(tmp_path / "ct.nii", **{**CT, **ct})
    masks = compare(tmp_path / "ct.nii", write_nnunet(tmp_path / "model", **rules), tmp_path / "out")
    for name, mask in masks.items():  # and each in its place: on its own side
        assert np.abs(points[mask].mean(axis=0) - BALLS[name][1]).max() < 6, name


def test_what_is_zero_around_the_patient_is_cropped(tmp_path):
    """Slices and margins of 0, as masking tools leave them: nnU-Net crops them, so its grid begins elsewhere."""
    write_ct(tmp_path / "full.nii", **CT)
    full = nib.load(tmp_path / "full.nii")
    voxels = np.asarray(full.dataobj).copy()
    voxels[:5], voxels[:, 77:], voxels[:, :, :7] = 0, 0, 0
    nib.save(nib.Nifti1Image(voxels, full.affine, full.header), tmp_path / "ct.nii")
    compare(tmp_path / "ct.nii", write_nnunet(tmp_path / "model"), tmp_path / "out")


def test_regions_may_overlap(tmp_path):
    """Two regions of one density are drawn both, in the same place, over more than eight regions."""
    write_ct(tmp_path / "ct.nii", **CT)
    model = write_nnunet(tmp_path / "model", regions=True, undrawn=["Eye_L"] * 9)
    organs = json.loads((model / "organs.json").read_text())["organs"]
    twins = [{**organs[4], "name": f"Twin{n}", "label": 100 + n, "channel": 6 + n} for n in range(9)]
    (model / "organs.json").write_text(json.dumps({"organs": [*organs, *twins]}))
    masks = compare(tmp_path / "ct.nii", seal(model), tmp_path / "out")
    assert all((masks[f"Twin{n}"] == masks["Eye_L"]).all() for n in range(9))


def test_what_the_map_leaves_out_still_competes(tmp_path):
    """A class of the parotid's very density leaves little to one of a density near it, drawn or not."""
    write_ct(tmp_path / "ct.nii", **CT)
    near = [BALLS["Eye_L"][0], BALLS["Parotid_R"][0] + 20]
    found = {}
    for name, values in (("alone", near), ("beside it", [*near, BALLS["Parotid_R"][0]])):
        network = band_network(values, softmax=False)
        model = write_nnunet(tmp_path / name, ["Eye_L", "Parotid_R"], network=network)
        found[name] = np.count_nonzero(
            compare(tmp_path / "ct.nii", model, tmp_path / f"{name} out", least=0)["Parotid_R"]
        )
    assert found["beside it"] < 0.5 * found["alone"]


def test_every_part_is_kept(tmp_path):
    """nnU-Net removes nothing; the shipped model's way would keep only the largest part."""
    second = (32, -60, -20)

    def two_eyes(points):
        hu = patient_hu(points)
        hu[np.linalg.norm(points - second, axis=-1) < 9] = BALLS["Eye_L"][0]
        return hu

    _, points = write_ct(tmp_path / "ct.nii", **CT, patient=two_eyes)
    model = write_nnunet(tmp_path / "model", spacing_mm=[2.0, 2.0, 2.0])
    eye = compare(tmp_path / "ct.nii", model, tmp_path / "out")["Eye_L"]
    assert eye[np.linalg.norm(points - second, axis=-1) < 6].any() and (eye & inside("Eye_L", points)).any()


def test_an_organ_that_is_not_there_has_an_empty_labelmap(tmp_path):
    def without(points):
        return np.where(inside("Eye_R", points), 40, patient_hu(points))

    write_ct(tmp_path / "ct.nii", **CT, patient=without)
    run = predict("--path", tmp_path / "ct.nii", "--output", tmp_path / "out", "--model", write_nnunet(tmp_path / "m"))
    assert run.returncode == 0, run.stdout
    organs = {organ["name"]: organ for organ in json.loads((tmp_path / "out" / "result.json").read_text())["organs"]}
    assert (organs["Eye_R"]["status"], organs["Eye_R"]["voxels"]) == ("not found", 0)
    assert not np.asarray(nib.load(tmp_path / "out" / "Eye_R.nii.gz").dataobj).any()
    assert organs["Eye_L"]["status"] == "found"


def test_the_same_bytes_for_any_number_of_threads_and_stages_in_order(tmp_path):
    write_ct(tmp_path / "ct.nii", **CT)
    model = write_nnunet(tmp_path / "model", mirroring=True)
    runs = {
        n: predict("--path", tmp_path / "ct.nii", "--output", tmp_path / n, "--model", model, "--threads", n)
        for n in "123"
    }
    for name in BALLS:
        assert len({(tmp_path / n / f"{name}.nii.gz").read_bytes() for n in runs}) == 1
    progress = [event for event in events(runs["2"]) if event["event"] == "progress"]
    assert list(dict.fromkeys(e["stage"] for e in progress)) == [
        "read",
        "preprocess",
        "network",
        "postprocess",
        "write",
    ]
    assert [e["fraction"] for e in progress] == sorted(e["fraction"] for e in progress)
    assert len([e for e in progress if e["stage"] == "network"]) > 20  # one for each patch


def test_the_same_refusals_as_for_the_shipped_model(tmp_path):
    write_ct(
        tmp_path / "ct.nii", **CT, patient=lambda points: np.where(np.linalg.norm(points, axis=-1) < 40, 40, -1000)
    )
    run = predict("--path", tmp_path / "ct.nii", "--output", tmp_path / "out", "--model", write_nnunet(tmp_path / "m"))
    assert run.returncode == 2 and "ml" in events(run)[-1]["message"] and list((tmp_path / "out").iterdir()) == []


def slow_network(channels: int) -> onnx.ModelProto:
    """Convolutions that keep one patch for seconds."""
    weights = {
        "first": np.full((64, 1, 3, 3, 3), 0.01, np.float32), "again": np.full((64, 64, 5, 5, 5), 1e-4, np.float32),
        "last": np.ones((channels, 64, 1, 1, 1), np.float32),
    }  # fmt: skip
    same = {"kernel_shape": [5, 5, 5], "pads": [2] * 6}
    nodes = [
        helper.make_node("Conv", ["image", "first"], ["a"], kernel_shape=[3, 3, 3], pads=[1] * 6),
        helper.make_node("Conv", ["a", "again"], ["b"], **same),
        helper.make_node("Conv", ["b", "again"], ["c"], **same),
        helper.make_node("Conv", ["c", "last"], ["logits"], kernel_shape=[1, 1, 1]),
    ]  # fmt: skip
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, "z", "y", "x"])
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, channels, "z", "y", "x"])
    constants = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "slow", [image], [output], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_stopped_within_a_patch(tmp_path):
    write_ct(tmp_path / "ct.nii", **CT)
    model = write_nnunet(tmp_path / "model", network=slow_network(7), patch=[72, 72, 72])
    command = [
        sys.executable,
        str(PREDICT),
        "--path",
        tmp_path / "ct.nii",
        "--output",
        tmp_path / "out",
        "--model",
        model,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while '"network"' not in (line := process.stdout.readline()):
            assert process.poll() is None, line
        process.send_signal(signal.SIGTERM)
        said, log = process.communicate(timeout=60)
    assert process.returncode == 143 and "Traceback" not in log
    assert json.loads(said.splitlines()[-1])["event"] == "error" and list((tmp_path / "out").iterdir()) == []
