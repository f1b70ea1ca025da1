"""What predict.py promises to whoever runs it: events, exit codes, files, and nothing half-written."""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from Testing.container.phantoms import BALLS, PREDICT, events, predict, seal, write_ct, write_model

STAGES = ["read", "preprocess", "network", "postprocess", "write"]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"), absent=("Eye_L", "Eye_R"))


@pytest.fixture(scope="module")
def ct(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("ct") / "SECRETFILE.nii"
    write_ct(path, (60, 66, 64), (3.6, 3.8, 3.6))
    return path


@pytest.fixture(scope="module")
def done(ct, model, tmp_path_factory) -> tuple[subprocess.CompletedProcess, Path]:
    """One good run and its folder."""
    out = tmp_path_factory.mktemp("run") / "results"
    run = predict("--path", ct, "--model", model, HNSEG_RESULTS=str(out))
    assert run.returncode == 0, run.stderr
    return run, out


def test_events(done):
    run, _ = done
    said = events(run)
    progress = [event for event in said if event["event"] == "progress"]
    fractions = [event["fraction"] for event in progress]
    assert said[-1] == {"event": "done", "result": "result.json"}
    assert [s for n, s in enumerate(e["stage"] for e in progress) if n == 0 or s != progress[n - 1]["stage"]] == STAGES
    assert fractions == sorted(fractions) and fractions[0] >= 0 and fractions[-1] < 1
    assert "SECRETFILE" not in run.stdout + run.stderr


def test_result(done, model):
    _, out = done
    result = json.loads((out / "result.json").read_text())
    digest = "sha256:" + hashlib.sha256((model / "SHA256SUMS").read_bytes()).hexdigest()
    assert result["contract"] == 1
    assert result["model"] == {"name": "bands", "version": "1.2.3", "digest": digest}
    assert result["runtime"]["precision"] == "float32" and result["runtime"]["cpu"]
    assert result["runtime"]["threads"] >= 1 and result["runtime"]["engine"].split()[1][0].isdigit()
    assert result["input"]["size"] == [60, 66, 64] and result["warnings"] == []
    assert set(result["timings_s"]) == {*STAGES, "total"}
    assert sum(result["timings_s"][stage] for stage in STAGES) == pytest.approx(result["timings_s"]["total"], abs=0.02)
    assert [organ["label"] for organ in result["organs"]] == [1, 2, 3, 4, 5, 6]
    for organ in result["organs"]:
        if organ["name"].startswith("Eye"):
            assert (organ["status"], organ["file"], organ["voxels"]) == ("not in this model", None, 0)
            assert not (out / f"{organ['name']}.nii.gz").exists()
            continue
        labelmap = nib.load(out / organ["file"])
        assert organ["status"] == "found" and organ["voxels"] == np.count_nonzero(labelmap.dataobj)
        assert organ["volume_ml"] == pytest.approx(organ["voxels"] * 3.6 * 3.8 * 3.6 / 1000, rel=1e-3)
        radius = BALLS[organ["name"]][2]
        assert organ["volume_ml"] == pytest.approx(4 / 3 * np.pi * radius**3 / 1000, rel=0.8)
    assert sorted(p.name for p in out.iterdir()) == sorted(
        ["result.json", *(f"{name}.nii.gz" for name in BALLS if not name.startswith("Eye"))]
    )


def test_the_same_ct_twice_gives_the_same_files_for_any_number_of_threads(done, ct, model, tmp_path):
    _, first = done
    for threads in (1, 2):
        out = tmp_path / str(threads)
        assert predict("--path", ct, "--output", out, "--model", model, "--threads", threads).returncode == 0
        for file in first.glob("*.nii.gz"):
            assert file.read_bytes() == (out / file.name).read_bytes(), file.name


def test_an_organ_that_is_not_there_has_an_empty_labelmap(model, tmp_path):
    def without_parotid(points):
        from Testing.container.phantoms import BODY_HU, inside, patient_hu

        return np.where(inside("Parotid_L", points), BODY_HU, patient_hu(points))

    write_ct(tmp_path / "ct.nii", (60, 66, 64), (3.6, 3.8, 3.6), patient=without_parotid)
    assert predict("--path", tmp_path / "ct.nii", "--output", tmp_path, "--model", model).returncode == 0
    organs = {organ["name"]: organ for organ in json.loads((tmp_path / "result.json").read_text())["organs"]}
    left = organs["Parotid_L"]
    assert (left["status"], left["voxels"], left["file"]) == ("not found", 0, "Parotid_L.nii.gz")
    labelmap = nib.load(tmp_path / left["file"])
    assert labelmap.shape == (60, 66, 64) and not np.asarray(labelmap.dataobj).any()
    assert organs["Parotid_R"]["status"] == "found"


def test_another_model_has_other_organs(ct, tmp_path):
    model = write_model(tmp_path / "model", ["Parotid_R", "Eye_L"], multiple=4, spacing_mm=[3.0, 3.0, 3.0])
    assert predict("--path", ct, "--output", tmp_path / "out", "--model", model).returncode == 0
    organs = json.loads((tmp_path / "out" / "result.json").read_text())["organs"]
    assert [(organ["name"], organ["label"], organ["status"]) for organ in organs] == [
        ("Parotid_R", 1, "found"), ("Eye_L", 2, "found"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    [[], ["--path"], ["--path", "x.nii", "--threads", "none"], ["--path", "x.nii", "--threads", "0"], ["-x"]],
)
def test_wrong_usage(arguments, tmp_path):
    run = predict(*arguments, HNSEG_RESULTS=str(tmp_path))
    assert run.returncode == 64 and events(run)[-1]["event"] == "error" and "Traceback" not in run.stderr


def damaged(folder: Path) -> None:
    content = bytearray((folder / "network.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "network.onnx").write_bytes(content)


def without_organs(folder: Path) -> None:
    (folder / "organs.json").unlink()


def without_sums(folder: Path) -> None:
    (folder / "SHA256SUMS").write_text("")


def sums_of_one_word(folder: Path) -> None:
    (folder / "SHA256SUMS").write_text("nothing\n")


def no_network(folder: Path) -> None:
    (folder / "network.onnx").write_bytes(b"nothing")
    seal(folder)


def change(folder: Path, file: str, edit) -> None:
    values = json.loads((folder / file).read_text())
    edit(values)
    (folder / file).write_text(json.dumps(values))
    seal(folder)


def later_contract(folder: Path) -> None:
    change(folder, "model.json", lambda about: about.update(contract=2))


def without_spacing(folder: Path) -> None:
    change(folder, "model.json", lambda about: about["preprocessing"].pop("spacing_mm"))


def two_spacings(folder: Path) -> None:
    change(folder, "model.json", lambda about: about["preprocessing"]["spacing_mm"].pop())


def more_organs_than_outputs(folder: Path) -> None:
    change(folder, "organs.json", lambda entries: entries["organs"][0].update(channel=9))


def no_organ(folder: Path) -> None:
    change(folder, "organs.json", lambda entries: [entry.update(channel=None) for entry in entries["organs"]])


def name_that_leaves_the_folder(folder: Path) -> None:
    change(folder, "organs.json", lambda entries: entries["organs"][0].update(name="../Brainstem"))


def name_used_twice(folder: Path) -> None:
    change(folder, "organs.json", lambda entries: entries["organs"][0].update(name="SpinalCord"))


@pytest.mark.parametrize(
    "harm",
    [
        damaged,
        without_organs,
        without_sums,
        sums_of_one_word,
        no_network,
        later_contract,
        without_spacing,
        two_spacings,
        more_organs_than_outputs,
        no_organ,
        name_that_leaves_the_folder,
        name_used_twice,
    ],
    ids=lambda harm: harm.__name__,
)
def test_a_damaged_model_is_a_fault(harm, ct, model, tmp_path):
    folder, out = shutil.copytree(model, tmp_path / "model"), tmp_path / "out"
    harm(folder)
    run = predict("--path", ct, "--output", out, "--model", folder)
    assert run.returncode == 1 and "Traceback" not in run.stderr
    assert events(run)[-1]["event"] == "error" and "model" in events(run)[-1]["message"]
    assert list(out.iterdir()) == []


def test_a_failed_run_leaves_no_result_of_the_run_before(done, model, tmp_path):
    _, good = done
    out = shutil.copytree(good, tmp_path / "out")
    assert predict("--path", tmp_path / "missing.nii", "--output", out, "--model", model).returncode == 2
    assert not (out / "result.json").exists()


def test_a_file_that_cannot_be_written_is_a_fault_and_leaves_nothing(ct, model, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, str(PREDICT), "--path", str(ct), "--output", str(out), "--model", str(model)]
    run = subprocess.run(
        command,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500)),
        check=False,
    )
    assert run.returncode == 1 and events(run)[-1]["event"] == "error"
    assert "Traceback" not in run.stderr and list(out.iterdir()) == []


def test_full_disk_is_named(ct, model, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "Brainstem.nii.gz.part").symlink_to("/dev/full")
    run = predict("--path", ct, "--output", out, "--model", model)
    assert run.returncode == 1 and "disk is full" in events(run)[-1]["message"]
    assert not list(out.glob("*.part")) and not (out / "result.json").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_from_outside(number, ct, model, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, str(PREDICT), "--path", str(ct), "--output", str(out), "--model", str(model)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while '"preprocess"' not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(number)
        said, log = process.communicate(timeout=60)
    assert process.returncode == 143 and "Traceback" not in log
    assert json.loads(said.splitlines()[-1])["event"] == "error"
    assert not (out / "result.json").exists() and not list(out.glob("*.part"))


def test_needs_nothing_but_what_the_image_holds(ct, model, tmp_path):
    """It loads nothing else, even where it is installed; -v makes Python name every module that it loads."""
    command = [sys.executable, "-v", str(PREDICT), "--path", str(ct), "--output", str(tmp_path), "--model", str(model)]
    log = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    loaded = {line.split("'")[1].split(".")[0] for line in log.splitlines() if line.startswith("import '")}
    assert {"openvino", "nibabel", "numpy", "cc3d"} <= loaded
    assert not {"scipy", "torch", "monai", "pydicom", "SimpleITK", "docker", "onnxruntime", "requests"} & loaded
