"""A hospital's own folders, StructSeg's layout and no index, all the way to a model that predict.py runs."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import nibabel as nib
import numpy as np
import pytest

from hn_training.__main__ import main

ROOT = Path(__file__).resolve().parents[1]
PREDICT = ROOT.parent / "docker" / "predict.py"
VALUES = {"Brainstem": 5, "Parotid_L": 2, "Parotid_R": 7}
SETTINGS = """
[data]
train = "{data}/train"
validation = "{data}/validation"
index = ""
cache = "{cache}"
[data.labels]
Brainstem = 5
Parotid_L = 2
Parotid_R = 7
[grid]
spacing_mm = [4.0, 4.0, 5.0]
resolution_mm = [4.0, 4.0, 5.0]
patch = [32, 32, 32]
[network]
name = "{network}"
[augment]
rotation_deg = 5.0
scale = 0.05
flip = 0.5
blank = 0.2
blank_box = 0.2
fill = 0.5
couch = 0.2
mask = 0.2
blur = 0.2
noise_hu = 10.0
offset_hu = 10.0
gain = 0.05
[optimise]
seed = 1
steps = {steps}
minutes = 0
batch = 1
learning_rate = 1e-3
weight_decay = 0
warmup_steps = 1
ema = 0.9
threads = 1
device = "cpu"
checkpoint_s = 1000
validate_s = 1000
validate_patients = 1
"""


@pytest.fixture
def hospital(tmp_path) -> Path:
    """Made-up heads with three organs at known places; one patient's parotids are not drawn."""
    z, y, x = np.ogrid[:40, :48, :48]
    head = ((y - 24) ** 2 + (x - 24) ** 2 < 20**2) & (z >= 0)
    places = {5: (20, 28, 24), 2: (18, 24, 36), 7: (18, 24, 12)}
    for number in range(4):
        labels = np.zeros(head.shape, np.uint8)
        for value, (cz, cy, cx) in places.items():
            if number != 1 or value == 5:
                labels[(z - cz) ** 2 + (y - cy) ** 2 + (x - cx - number % 2) ** 2 < 16] = value
        hu = np.where(head, 30, -1000) + 10 * (labels > 0)
        folder = tmp_path / "data" / ("train" if number < 3 else "validation") / str(number + 1)
        folder.mkdir(parents=True)
        affine = np.diag([-4.0, -4.0, 5.0, 1.0])
        for name, volume in (("data", hu.astype(np.int16)), ("label", labels)):
            nib.save(nib.Nifti1Image(volume.T, affine), folder / f"{name}.nii.gz")
    return tmp_path / "data"


@pytest.mark.parametrize("network", ["densevnet", "monai-segresnet"])
def test_train_resume_evaluate_export_predict(network, hospital, tmp_path, monkeypatch, capsys):
    def command(*arguments):
        monkeypatch.setattr("sys.argv", ["hn-training", *map(str, arguments)])
        assert main() == 0
        return capsys.readouterr().out

    toml, cache = tmp_path / "my.toml", tmp_path / "cache"
    for steps in (2, 4):
        toml.write_text(SETTINGS.format(data=hospital, cache=cache, network=network, steps=steps))
        out = command("train", "--config", toml)
        assert ("Going on from step 2." in out) == (steps == 4)
    assert [line.split(",")[0] for line in (cache / "dice.csv").read_text().splitlines()] == ["step", "1", "2", "4"]
    pictures = sorted(path.name for path in (cache / "examples").iterdir())
    assert pictures == ["step_000001_4.png", "step_000002_4.png", "step_000004_4.png"]
    assert matplotlib.image.imread(cache / "examples" / pictures[0]).std() > 0.1 and (cache / "curves.png").exists()

    plain, flipped = command("evaluate", "--config", toml), command("evaluate", "--flip", "--config", toml)
    assert plain.startswith("step 4 {'Brainstem'") and flipped.startswith("step 4 {'Brainstem'")
    command("export", cache / "checkpoint.pt", "--out", tmp_path / "model", "--data", "made-up heads")
    model = json.loads((tmp_path / "model" / "model.json").read_text())
    assert (model["name"], model["trained"]["total_steps"]) == (f"hn-{network}", 4)
    predict(hospital / "validation" / "4" / "data.nii.gz", tmp_path / "model", tmp_path / "4" / "segmentations")
    command(
        "picture", "4", "Brainstem", "--config", toml, "--predictions", tmp_path, "--out", tmp_path / "brainstem.png"
    )
    command("picture", "4", "Parotid_L", "--config", toml, "--predictions", tmp_path, "--out", tmp_path / "parotid.png")
    limits = command("limits", tmp_path, tmp_path, "--config", toml).splitlines()
    assert [line.split(" | ")[0] for line in limits[2:]] == ["| Brainstem", "| Parotid_L", "| Parotid_R"]
    brainstem, parotid = (matplotlib.image.imread(tmp_path / f"{name}.png") for name in ("brainstem", "parotid"))
    assert brainstem.std() > 0.1 and (brainstem.shape != parotid.shape or (brainstem != parotid).any())


def predict(ct: Path, model: Path, results: Path) -> None:
    """The container's own program must take the model and answer for each of its organs."""
    missing = [name for name in ("openvino", "cc3d") if importlib.util.find_spec(name) is None]
    if missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"predict.py needs {', '.join(missing)} here.")
    results.mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, PREDICT, "--path", ct, "--output", results, "--model", model, "--threads", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    about = json.loads((results / "result.json").read_text())
    in_model = {organ["name"] for organ in about["organs"] if organ["status"] != "not in this model"}
    assert in_model == set(VALUES)
