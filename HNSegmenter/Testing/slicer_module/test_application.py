"""The module in a real Slicer: each script of in_slicer/ is run by a Slicer of its own, on a screen of its own.

SLICER names the program; without it, Slicer on the PATH. HNSEG_SCREENSHOTS names a folder for pictures.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from Testing.machine import ROOT
from Testing.models.made import TWO_ORGANS, model, parotids
from Testing.runtimes.docker.fixtures import engine
from Testing.runtimes.docker.registry import Registry

HERE = Path(__file__).parent / "in_slicer"
SCRIPTS = ("selftest", "walk", "interrupted", "other_volumes", "other_series", "targets", "beside", "many_organs")
MODULE = ROOT / "HNSegmenter"
SCREEN = ["xvfb-run", "--auto-servernum", "--server-args=-screen 0 1400x1000x24"]
PASSED = "HN Segmenter tests ended with 0"
SKIPPED = re.compile("HN Segmenter tests skipped: (.*)")  # printed by in_slicer/driver.py


@pytest.fixture(scope="session")
def slicer() -> str:
    program = os.environ.get("SLICER") or shutil.which("Slicer")
    if program is None:
        pytest.skip("no Slicer on this machine (PATH, SLICER): what needs its window did not run")
    return program


@pytest.fixture
def start(slicer, own_folders, tmp_path):
    """start(script, *options, module=..., **variables) -> what Slicer said; its settings are a new user's."""

    def start(script: Path, *options: str, module: Path = MODULE, **variables: str) -> str:
        command = [
            slicer,
            "--no-splash",
            *options,
            "--additional-module-paths",
            str(module),
            "--python-script",
            str(script),
        ]
        if "DISPLAY" not in os.environ:
            command = SCREEN + command
        environment = {**os.environ, "HOME": str(tmp_path), "OMP_NUM_THREADS": "1", "LANG": "C.UTF-8", **variables}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1200, check=False)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
        if skipped := SKIPPED.search(done.stdout):
            pytest.skip(skipped[1])
        return done.stdout

    return start


@pytest.mark.parametrize("name", SCRIPTS)
def test_in_slicer(name, start):
    said = start(HERE / f"{name}.py")
    assert PASSED in said, said[-6000:]


def test_other_models_by_clicks(start, tmp_path):
    """Added from a folder and a ZIP, chosen, beside the shipped one, damaged and removed."""
    sources = tmp_path / "sources"
    sources.mkdir()
    parotids(sources / "parotids")
    shutil.make_archive(str(sources / "two_organs"), "zip", TWO_ORGANS)
    (model(sources / "damaged", name="damaged") / "organs.json").write_text("{}")
    said = start(HERE / "models.py", HNSEG_TEST_MODELS=str(sources))
    assert PASSED in said, said[-6000:]


def test_real_ct_by_clicks(start, real_data):
    """Loaded, segmented, edited and saved; SlicerRT reads it back at Dice 0.99."""
    patient = real_data / "openkbp" / "validation" / "pt_204"
    said = start(HERE / "validation_ct.py", HNSEG_TEST_NIFTI=str(patient / "data.nii.gz"))
    assert PASSED in said, said[-6000:]


def test_first_use_with_a_folder_of_wheels(start, tmp_path):
    """pip gets a made-up wheel, and may ask no index."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    about = "hnseg_offline_probe-1.0.dist-info"
    with zipfile.ZipFile(wheels / "hnseg_offline_probe-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("hnseg_offline_probe.py", "")
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: hnseg-offline-probe\nVersion: 1.0\n")
        wheel.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{about}/RECORD", "")
    said = start(HERE / "offline.py", HNSEG_TEST_WHEELS=str(wheels))
    assert PASSED in said, said[-6000:]


@pytest.mark.docker
def test_image_is_pulled_by_clicks(start, engine):
    """From a slow registry on loopback, its progress in sight."""
    with Registry(chunk_s=0.3) as registry:
        name = f"{registry.host}/hnseg/pulled:1"
        try:
            said = start(HERE / "pull.py", HNSEG_TEST_IMAGE=name)
        finally:
            subprocess.run(["docker", "rmi", "--force", name], capture_output=True, check=False)
    assert PASSED in said, said[-6000:]


@pytest.mark.docker
def test_in_slicer_with_docker(start, our_image):
    from HNSegmenterLib.settings import Settings

    Settings(image=our_image).save()
    said = start(HERE / "in_docker.py")
    assert PASSED in said, said[-6000:]
    left = subprocess.run(
        ["docker", "ps", "--all", "--quiet", "--filter", "label=org.hnsegmenter.job"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert left.stdout == ""


def test_run_goes_on_when_slicer_is_closed_and_is_offered_at_the_next_start(start, tmp_path):
    ct = tmp_path / "CT"
    code = f"from pathlib import Path; from HNSegmenterLib.sample import write_dicom; write_dicom(Path({str(ct)!r}))"
    subprocess.run([sys.executable, "-c", code], check=True)
    said = start(HERE / "quitting" / "quit_leave.py", HNSEG_TEST_CT=str(ct))
    assert "stayed: True" in said and "asked: True" in said, said[-6000:]
    said = start(HERE / "quitting" / "quit_return.py", HNSEG_TEST_CT=str(ct))
    assert PASSED in said, said[-6000:]


@pytest.mark.parametrize("number", [0, 1])
def test_examples_of_the_documentation(number, start, tmp_path):
    """Without a window, on the sample patient: step by step, and all in one call."""
    page = (ROOT / "docs" / "slicer" / "developer.md").read_text(encoding="utf-8")
    example = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[number]
    lines = [
        "from pathlib import Path",
        "from DICOMLib import DICOMUtils",
        "from HNSegmenterLib.sample import write_dicom",
        f"DICOMUtils.openTemporaryDatabase({str(tmp_path / 'database')!r})",
        f"write_dicom(Path({str(tmp_path / 'CT')!r}))",
        example.replace("/data/patient", str(tmp_path)),
    ]
    script = tmp_path / "example.py"
    script.write_text("\n".join(lines), encoding="utf-8")
    said = start(script, "--no-main-window")
    assert "rtstruct.dcm" in said, said[-6000:]


def test_installed_module_does_the_self_test(start, tmp_path):
    """As CMake installs it, without the source tree."""
    package = Path(__file__).parent / "slicer_package"
    options = [f"-DSlicer_DIR={package}", f"-DCMAKE_INSTALL_PREFIX={tmp_path / 'installed'}"]
    for command in (
        ["cmake", "-S", ROOT, "-B", tmp_path / "build", *options],
        ["cmake", "--install", tmp_path / "build"],
    ):
        subprocess.run(command, check=True, capture_output=True)
    installed = next((tmp_path / "installed").rglob("HNSegmenter.py")).parent
    said = start(HERE / "selftest.py", module=installed)
    assert PASSED in said, said[-6000:]
