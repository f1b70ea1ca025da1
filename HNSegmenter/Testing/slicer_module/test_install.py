"""The extension as CMake installs it is whole: every file is there, and it segments without the source tree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from Testing.machine import ROOT, require_program

PACKAGE = Path(__file__).parent / "slicer_package"
SCRIPTED = Path("lib") / "Slicer-5.12" / "qt-scripted-modules"


@pytest.fixture(scope="module")
def build(tmp_path_factory) -> Path:
    """Configured and built with a stand-in for Slicer's CMake package, tests on."""
    cmake = require_program("cmake")
    folder = tmp_path_factory.mktemp("extension-build")
    options = [f"-DSlicer_DIR={PACKAGE}", "-DBUILD_TESTING=ON", f"-DCMAKE_INSTALL_PREFIX={folder / 'installed'}"]
    for command in ([cmake, "-S", ROOT, "-B", folder, *options], [cmake, "--build", folder, "--target", "install"]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return folder


@pytest.fixture(scope="module")
def module_folder(build) -> Path:
    return build / "installed" / SCRIPTED


def _tracked(folder: str) -> set[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", folder]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return {str(Path(line).relative_to(folder)) for line in listed.stdout.splitlines()}


def test_every_file_of_the_module_is_installed(module_folder):
    if not (ROOT / ".git").exists():
        pytest.skip("without git nobody knows which files belong to the module")
    parts = ("HNSegmenter.py", "HNSegmenterLib/", "HNSegmenterWidgets/", "Resources/")
    wanted = {file for file in _tracked("HNSegmenter") if file.startswith(parts)}
    network = {
        f"HNSegmenterLib/network/{file}"
        for file in _tracked("docker")
        if file.startswith(("predict.py", "hn_network/")) or file in ("Dockerfile", ".dockerignore", "requirements.txt")
    }
    installed = {str(path.relative_to(module_folder)) for path in module_folder.rglob("*") if path.is_file()}
    assert {"HNSegmenter.py", "Resources/UI/HNSegmenter.ui", "Resources/Icons/HNSegmenter.png"} <= installed
    assert wanted | network == installed


def test_installed_module_segments_without_the_sources(module_folder, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(module_folder)}
    environment.pop("HNSEG_NETWORK", None)
    code = "from HNSegmenterLib.runtimes.local import network_folder; print(network_folder())"
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert Path(found.stdout.strip()) == module_folder / "HNSegmenterLib" / "network"
    command = [
        sys.executable,
        "-m",
        "HNSegmenterLib",
        "demo",
        "--runtime",
        "local",
        "--output",
        str(tmp_path / "out"),
        "--json",
    ]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    last = json.loads(done.stdout.splitlines()[-1])
    assert {organ["name"] for organ in last["organs"] if organ["status"] == "found"} >= {"Brainstem", "SpinalCord"}


def test_metadata_and_unit_test_are_told_to_slicer(build):
    metadata = dict(line.split("=", 1) for line in (build / "metadata.txt").read_text().splitlines())
    assert metadata["DEPENDS"] == "SlicerRT"
    assert metadata["CATEGORY"] == "Segmentation"
    assert "HNSegmenter.py" in (build / "unittests.txt").read_text().splitlines()


def test_index_file_says_what_cmake_says(build):
    page = (ROOT / "docs" / "extensions-index.md").read_text(encoding="utf-8")
    entry = json.loads(page.split("```json\n")[1].split("```")[0])
    metadata = dict(line.split("=", 1) for line in (build / "metadata.txt").read_text().splitlines())
    assert entry["category"] == metadata["CATEGORY"]
    assert entry["build_dependencies"] == metadata["DEPENDS"].split()
    assert entry["scm_url"] == metadata["HOMEPAGE"].removesuffix("#readme") + ".git"


def test_packages_asked_for_at_first_use_are_those_of_the_project():
    import tomllib

    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    known = {Requirement(line) for line in project["dependencies"] + project["optional-dependencies"]["local"]}
    lines = (ROOT / "HNSegmenter" / "Resources" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    asked = {Requirement(line) for line in lines if line and not line.startswith("#")}
    shipped = {"numpy", "SimpleITK", "pydicom", "pillow"}  # with Slicer 5.10 and 5.12
    terminal = {"rich"}  # the child prints JSON
    assert asked <= known
    inbox = (ROOT / "HNSegmenter" / "Resources" / "requirements-inbox.txt").read_text(encoding="utf-8").splitlines()
    service = {Requirement(line) for line in project["optional-dependencies"]["service"]}
    asked_later = {Requirement(line) for line in inbox if line and not line.startswith("#")}
    assert asked_later <= service
    assert {item.name for item in service - asked_later} == {"huey"}  # the worker's queue
    assert {item.name for item in known - asked} == shipped | terminal
