"""hn-segmenter doctor: each line true, each fault with a fix."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from HNSegmenterLib.cli import doctor
from HNSegmenterLib.runtimes import containers, images
from HNSegmenterLib.runtimes.containers import Limits
from HNSegmenterLib.settings import Settings
from Testing.runtimes.docker.fixtures import engine
from Testing.runtimes.docker.support import image_of


def found(what: str, findings) -> doctor.Finding:
    (item,) = [item for item in findings if item.what == what]
    return item


def test_no_engine_is_a_warning_where_this_computer_can_do_it(tmp_path):
    findings = list(doctor.examine(f"unix://{tmp_path}/docker.sock"))
    item = found("Docker engine", findings)
    local = found("Network on this computer", findings)
    assert item.state == (doctor.WARNING if local.state == doctor.OK else doctor.FAULT)
    assert item.fix == "Install or start Docker, or use --runtime local."
    assert "Image" not in [item.what for item in findings]


def test_nothing_works(tmp_path, monkeypatch):
    monkeypatch.setenv("HNSEG_NETWORK", str(tmp_path))
    findings = list(doctor.examine(f"unix://{tmp_path}/docker.sock"))
    assert found("Docker engine", findings).state == doctor.FAULT
    assert found("Network on this computer", findings).state == doctor.FAULT
    assert all(item.fix for item in findings if item.state != doctor.OK)


def test_packages_that_are_missing_or_old(monkeypatch):
    versions = {"numpy": "1.20.3", "pydicom": "2.3", "docker": "6.1.3"}

    def version(name):
        if name == "SimpleITK":
            raise doctor.PackageNotFoundError(name)
        return versions.get(name, "99.0")

    monkeypatch.setattr(doctor, "version", version)
    findings = {item.what: item for item in doctor.examine("unix:///nowhere")}
    assert (findings["SimpleITK"].state, findings["SimpleITK"].found) == (doctor.FAULT, "missing")
    assert findings["numpy"].fix.endswith("-m pip install 'numpy>=1.26'")
    assert findings["pydicom"].state == doctor.FAULT
    assert findings["docker (Python)"].fix.endswith("pip install 'docker>=7.2'")
    assert findings["rich"].state == doctor.OK


def test_disk(tmp_path, monkeypatch):
    usage = doctor.shutil.disk_usage(tmp_path)
    for free, state in ((10e9, doctor.OK), (1e9, doctor.WARNING), (1e8, doctor.FAULT)):
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path, free=free: usage._replace(free=int(free)))
        item = doctor._disk()
        assert item.state == state and bool(item.fix) == (state != doctor.OK)


def test_memory(monkeypatch):
    assert doctor.total_memory() > 1e8
    for total, state in ((8e9, doctor.OK), (2e9, doctor.WARNING), (None, doctor.WARNING)):
        monkeypatch.setattr(doctor, "total_memory", lambda total=total: total)
        assert doctor._memory().state == state


def test_numpy_of_slicer(tmp_path, monkeypatch):
    import numpy

    home = Path(numpy.__file__).parents[1]
    monkeypatch.setenv("SLICER_HOME", str(home))
    assert "left alone" in doctor._numpy_of_slicer().found
    monkeypatch.setenv("SLICER_HOME", str(tmp_path))
    item = doctor._numpy_of_slicer()
    assert item.state == doctor.FAULT and "stands before Slicer's own" in item.found and item.fix
    monkeypatch.delenv("SLICER_HOME")
    assert doctor._numpy_of_slicer().state == doctor.OK


@pytest.mark.docker
class TestWithEngine:
    def test_all_is_well(self, engine):
        Settings(image=image_of(engine.client, "ok")).save()
        findings = list(doctor.examine())
        assert {found(what, findings).state for what in ("Docker engine", "Image", "Engine's memory")} == {doctor.OK}
        assert "contract 1" in found("Image", findings).found

    def test_image_missing(self, engine):
        item = found("Image", doctor.examine(image="hnseg-nowhere:1"))
        assert item.state != doctor.OK and item.fix.startswith("Load it from a file (hn-segmenter image load FILE)")

    def test_too_little_memory_for_the_container(self, engine):
        Settings(memory="9999g").save()
        item = found("Engine's memory", doctor.examine())
        assert item.state == doctor.WARNING and "lower memory in the settings" in item.fix

    def test_container_of_an_earlier_run(self, engine):
        job_id = "e" * 32
        info = images.inspect(engine, image_of(engine.client, "ok"))
        containers.create(engine, info, job_id, "img.nii", Limits())
        containers.release(engine, job_id)
        try:
            item = found("Containers", doctor.examine())
            assert item.state == doctor.WARNING and item.found.startswith("1 of an earlier run")
        finally:
            assert containers.remove_orphans(engine) == [job_id]

    def test_exit_code_and_json(self, engine, tmp_path):
        def run(*more, **environment):
            command = [sys.executable, "-m", "HNSegmenterLib", "doctor", "--json", *more]
            paths = {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
            return subprocess.run(
                command,
                env={**os.environ, **paths, **environment},
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                check=False,
            )

        good = run("--image", image_of(engine.client, "ok"))
        assert good.returncode == 0, good.stdout
        bad = run("--docker-host", f"unix://{tmp_path}/x", HNSEG_NETWORK=str(tmp_path))
        assert bad.returncode == 1
        lines = json.loads(bad.stdout.splitlines()[-1])["findings"]
        assert [line["fix"] for line in lines if line["state"] == "fault"]


def test_unusable_settings_are_a_finding_with_a_fix(own_folders):
    (own_folders / "settings.json").write_text('{"image": 5}')
    (finding,) = [item for item in doctor.examine() if item.what == "Settings"]
    assert finding.state == doctor.FAULT and "image" in finding.found and finding.fix
