"""The command line from outside: exit codes, sentences, JSON lines, cancel, and that no trace of a patient stays."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from Testing.machine import require
from Testing.phantoms import head_phantom, write_ct_series

SLOW = (
    "import json, os, sys, time\n"
    "print(json.dumps({'event': 'progress', 'stage': 'network', 'fraction': 0.1}), flush=True)\n"
    "open(os.path.join(os.environ['TMPDIR'], 'scratch'), 'w').write('x')\n"
    "time.sleep(60)\n"
)
TWO_ORGANS = Path(__file__).resolve().parents[3] / "training" / "fixtures" / "two_organs"
TOKENS = {
    "PatientName": "TEST^Xylotoken",
    "PatientID": "TEST-QQ77TOKEN",
    "PatientBirthDate": "19010203",
    "AccessionNumber": "ACC55TOKEN",
}


def start(*arguments, **environment) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "HNSegmenterLib", *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def run(*arguments, **environment) -> tuple[int, str, str]:
    process = start(*arguments, **environment)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.fixture
def series(tmp_path) -> Path:
    folder = tmp_path / "ct"
    write_ct_series(folder, head_phantom())
    return folder


@pytest.fixture
def slow_network(tmp_path) -> dict:
    folder = tmp_path / "slow"
    folder.mkdir()
    (folder / "predict.py").write_text(SLOW)
    return {"HNSEG_NETWORK": str(folder)}


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("paint",),
        ("segment",),
        ("segment", "a", "b", "-o", "c"),
        ("segment", "a", "-o", "b", "--runtime", "cloud"),
        ("segment", "a", "--json"),
        ("segment", "", "-o", "b"),
        ("segment", "a", "-o", "b", "--js"),
        ("segment", "a", "-o", "b", "--runtime", "local", "--image", "c"),
        ("evaluate",),
        ("image", "load"),
    ],
)
def test_wrong_usage_is_64_and_a_sentence(arguments):
    code, out, err = run(*arguments)
    assert code == 64
    assert re.search("--help|leave", out + err) and "Traceback" not in out + err


@pytest.mark.parametrize(
    "command", [(), ("segment",), ("evaluate",), ("image",), ("demo",), ("benchmark",), ("doctor",)]
)
def test_every_command_explains_itself(command):
    code, out, _ = run(*command, "--help")
    assert code == 0 and "usage" in out


def test_an_input_that_is_not_there_is_2(tmp_path):
    code, _out, err = run("segment", tmp_path / "nowhere", "-o", tmp_path / "out", "--runtime", "local")
    assert code == 2 and "nowhere does not exist" in err
    assert not (tmp_path / "out").exists()


def test_earlier_results_are_kept_unless_told(tmp_path, series):
    out = tmp_path / "out"
    out.mkdir()
    (out / "result.json").write_text("mine")
    code, _, err = run("segment", series, "-o", out, "--runtime", "local")
    assert code == 64 and "--overwrite" in err
    assert (out / "result.json").read_text() == "mine"


def test_a_fault_of_the_network_keeps_what_was_there(tmp_path, series):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "predict.py").write_text("raise SystemExit(9)")
    out = tmp_path / "out"
    out.mkdir()
    (out / "result.json").write_text("mine")
    code, _, err = run(
        "segment", series, "-o", out, "--overwrite", "--runtime", "local", HNSEG_NETWORK=str(tmp_path / "broken")
    )
    assert code == 1 and "code 9" in err and "Traceback" not in err
    assert [path.name for path in out.iterdir()] == ["result.json"] and (out / "result.json").read_text() == "mine"


@pytest.mark.parametrize("how", ["stdin", signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_cancel_is_130_and_leaves_nothing(tmp_path, series, slow_network, own_folders, how):
    process = start("segment", series, "-o", tmp_path / "out", "--runtime", "local", "--json", **slow_network)
    for line in process.stdout:
        if json.loads(line).get("stage") == "network":
            break
    else:
        pytest.fail(f"the network never ran: {process.communicate()}")
    if how == "stdin":
        process.stdin.write("cancel\n")
        process.stdin.flush()
    else:
        process.send_signal(how)
    rest, _ = process.communicate(timeout=30)
    last = json.loads(rest.splitlines()[-1])
    assert process.returncode == last["exit"] == 130 and "Cancelled" in last["message"]
    assert not (tmp_path / "out").exists()
    assert list((own_folders / "jobs").iterdir()) == []


def test_json_lines_tell_states_and_a_fraction_that_only_grows(tmp_path, series):
    code, out, err = run(
        "segment", series, "-o", tmp_path / "out", "--runtime", "local", "--model", TWO_ORGANS, "--json"
    )
    assert code == 0, out + err
    events = [json.loads(line) for line in out.splitlines()]
    assert [e["stage"] for e in events if e["event"] == "state"] == [
        "reading",
        "running",
        "checking",
        "writing",
        "done",
    ]
    fractions = [e["fraction"] for e in events if "fraction" in e]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    result = events[-1]
    assert result["event"] == "result" and {o["name"]: o["status"] for o in result["organs"]} == {
        "Bone_Mandible": "found",
        "Brain": "found",
    }
    written = json.loads((tmp_path / "out" / "result.json").read_text())
    assert written["organs"] == result["organs"] and written["runtime"]["where"] == "local"
    files = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert files == [
        "overview.png",
        "result.json",
        "rtstruct.dcm",
        "segmentations/Bone_Mandible.nii.gz",
        "segmentations/Brain.nii.gz",
    ]


def test_a_listener_that_leaves_does_not_stop_the_job(tmp_path, series, own_folders):
    process = start("segment", series, "-o", tmp_path / "out", "--runtime", "local", "--model", TWO_ORGANS, "--json")
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    process.stderr.close()
    assert (tmp_path / "out" / "result.json").is_file() and list((own_folders / "jobs").iterdir()) == []


LYING = """
import json, sys
import numpy as np, SimpleITK as sitk
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
ct = sitk.ReadImage(arguments["--path"])
voxels = np.zeros(ct.GetSize()[::-1], {kind!r})
voxels[10:20, 20:30, 40:50] = {value}
image = sitk.GetImageFromArray(voxels)
image.CopyInformation(ct)
{change}
sitk.WriteImage(image, arguments["--output"] + "/Brain.nii.gz")
organ = dict(name="Brain", label=1, color=[1, 2, 3], status="found", voxels=1000, volume_ml=1.0, file="Brain.nii.gz")
result = dict(contract=1, model={{}}, runtime={{}}, input={{}}, timings_s={{}}, warnings=[], organs=[organ])
json.dump(result, open(arguments["--output"] + "/result.json", "w"))
"""


@pytest.mark.parametrize(
    ("kind", "value", "change", "says"),
    [
        ("uint8", 1, "image.SetDirection([-1, 0, 0, 0, 1, 0, 0, 0, 1])", "does not lie on the CT's grid"),
        ("uint8", 1, "image.SetOrigin([1, 0, 0])", "does not lie on the CT's grid"),
        ("uint8", 1, "image.SetSpacing([4, 4, 3])", "does not lie on the CT's grid"),
        ("uint8", 1, "image = image[1:]", "does not lie on the CT's grid"),
        ("uint8", 255, "", "zeros and ones"),
        ("uint8", 0, "", "zeros and ones"),
        ("float32", 0.4, "", "zeros and ones"),
    ],
)
def test_labelmaps_that_break_the_contract_are_refused(tmp_path, series, kind, value, change, says):
    """A labelmap flipped in its header alone would put the organ on the other side."""
    (tmp_path / "lying").mkdir()
    (tmp_path / "lying" / "predict.py").write_text(LYING.format(kind=kind, value=value, change=change))
    code, _, err = run(
        "segment", series, "-o", tmp_path / "out", "--runtime", "local", HNSEG_NETWORK=str(tmp_path / "lying")
    )
    assert code == 1 and says in err, err
    assert not (tmp_path / "out").exists()


def test_a_ct_without_any_organ_is_said_and_leaves_nothing(tmp_path, series):
    code, _out, err = run("segment", series, "-o", tmp_path / "out", "--runtime", "local")
    assert code == 2 and "head and neck" in err
    assert not (tmp_path / "out").exists()


def test_the_end_of_standard_input_is_no_cancel(tmp_path, series, slow_network):
    process = start("segment", series, "-o", tmp_path / "out", "--runtime", "local", "--json", **slow_network)
    process.stdin.close()
    for line in process.stdout:
        if json.loads(line).get("stage") == "network":
            break
    time.sleep(0.5)
    assert process.poll() is None
    process.terminate()
    assert process.wait(timeout=20) == 130
    process.stdout.close()
    process.stderr.close()


def test_a_killed_job_is_cleared_away_by_the_next(tmp_path, series, slow_network, own_folders):
    process = start("segment", series, "-o", tmp_path / "out", "--runtime", "local", "--json", **slow_network)
    for line in process.stdout:
        if json.loads(line).get("stage") == "network":
            break
    process.kill()
    process.communicate()
    (left,) = (own_folders / "jobs").iterdir()
    run(
        "segment", series, "-o", tmp_path / "out", "--runtime", "local", HNSEG_NETWORK=str(tmp_path)
    )  # no network there
    run("segment", series, "-o", tmp_path / "other", "--runtime", "local", "--json", **broken(tmp_path))
    assert not left.exists()


def broken(tmp_path) -> dict:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "predict.py").write_text("raise SystemExit(9)")
    return {"HNSEG_NETWORK": str(tmp_path / "broken")}


def holding(folder: Path, tokens) -> list[str]:
    """Files under a folder whose name or content has one of the tokens."""
    encoded = [token.encode() for token in tokens]
    return [
        str(path)
        for path in folder.rglob("*")
        if any(token in str(path.relative_to(folder)) for token in tokens)
        or (path.is_file() and any(token in path.read_bytes() for token in encoded))
    ]


@pytest.mark.parametrize("fault", ["none", "network", "no ct"])
def test_the_patient_is_in_the_rtstruct_and_nowhere_else(tmp_path, own_folders, fault):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    source = tmp_path / "FOLDER88TOKEN"
    write_ct_series(source, head_phantom(), patient=TOKENS, tags={"Modality": "MR"} if fault == "no ct" else None)
    environment = {"TMPDIR": str(temporary), **(broken(tmp_path) if fault == "network" else {})}
    options = ("--json", "--debug", "--runtime", "local", "--model", TWO_ORGANS)
    code, out, err = run("segment", source, "-o", tmp_path / "out", *options, **environment)
    assert code == {"none": 0, "network": 1, "no ct": 2}[fault], out + err
    tokens = [*TOKENS.values(), "FOLDER88TOKEN"]
    assert holding(temporary, tokens) == [] and holding(own_folders, tokens) == []
    assert not any(token in err for token in tokens)
    if fault == "none":
        assert holding(tmp_path / "out", tokens) == [str(tmp_path / "out" / "rtstruct.dcm")]
        import pydicom

        written = pydicom.dcmread(tmp_path / "out" / "rtstruct.dcm")
        assert {key: str(written[key].value) for key in TOKENS} == TOKENS
    else:
        assert not (tmp_path / "out").exists()
    assert not any(token in left.name for left in Path(tempfile.gettempdir()).iterdir() for token in tokens)


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path, series):
    """Needs root, to mount a small file system."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(small)], capture_output=True, check=False
    )
    require(bool(mounted) and mounted.returncode == 0, "the right to mount a file system")
    try:
        code, _, err = run("segment", series, "-o", small / "out", "--runtime", "local", HNSEG_JOBS=str(small / "jobs"))
        assert code == 1 and "disk" in err and "Traceback" not in err
        assert [path for path in small.rglob("*") if path.is_file()] == []
    finally:
        subprocess.run(["umount", str(small)], check=True)
