"""The Docker runtime on a real engine: what comes out, what the container may do, each fault's sentence,
no trace left."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import docker
from HNSegmenterLib.errors import Cancelled, EngineFault, RuntimeFault, UnusableInput, WrongUsage
from HNSegmenterLib.events import CancelToken, ignore
from HNSegmenterLib.result import Result
from HNSegmenterLib.runtimes import containers, images, transfer
from HNSegmenterLib.runtimes.containers import Limits
from HNSegmenterLib.runtimes.docker_runtime import DockerRuntime
from HNSegmenterLib.settings import jobs_folder
from Testing.machine import require
from Testing.runtimes.docker.fixtures import engine, nothing_left
from Testing.runtimes.docker.support import Recorder, child_of, image_of, job_containers, make_job, small_ct

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("nothing_left")]


def runtime_of(engine, way: str, **limits) -> DockerRuntime:
    return DockerRuntime(engine, images.inspect(engine, image_of(engine.client, way)), Limits(**limits))


def run(engine, folder, way: str, emit=ignore, cancel=None, **limits):
    job = make_job(folder)
    runtime_of(engine, way, **limits).run(job, emit, cancel or CancelToken())
    return job


def left_in(folder) -> list[str]:
    """Files of all jobs in the folder, the CTs apart."""
    return [path.name for path in folder.rglob("*") if path.is_file() and not path.name.startswith("img.nii")]


@pytest.mark.parametrize("name", ["img.nii", "img.nii.gz"])
def test_labelmaps_come_out_on_the_grid_of_the_ct(engine, tmp_path, name):
    job = make_job(tmp_path, name)
    recorder = Recorder()
    folder = runtime_of(engine, "ok").run(job, recorder, CancelToken())
    assert folder == job.results
    result = Result.read(folder / "result.json")
    labelmap = sitk.ReadImage(str(folder / result.organs[0].file))
    ct = small_ct()
    assert labelmap.GetPixelID() == sitk.sitkUInt8
    np.testing.assert_allclose(labelmap.GetOrigin(), ct.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(labelmap.GetSpacing(), ct.GetSpacing(), atol=1e-5)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(labelmap), sitk.GetArrayFromImage(ct) > -500)
    assert recorder.stages == ["upload", "read", "write", "download"]
    fractions = [event.fraction for event in recorder.events if event.kind == "progress"]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert recorder.messages("warning") == ["This is a test image."]


def test_container_is_hardened_and_says_nothing_of_the_patient(engine, tmp_path):
    secret = tmp_path / "TEST^Tokenname_P4711"
    seen = {}

    def look():
        (item,) = [item for item in job_containers(engine.client) if item["Labels"][containers.JOB_LABEL] == job.id]
        seen["inspect"] = engine.client.inspect_container(item["Id"])
        seen["log"] = engine.client.logs(item["Id"]).decode()

    job = make_job(secret)
    recorder = Recorder({"read": look})
    runtime_of(engine, "late").run(job, recorder, CancelToken())
    about, host = seen["inspect"], seen["inspect"]["HostConfig"]
    assert about["Name"] == f"/hn-segmenter-{job.id}"
    assert about["Config"]["User"] == "10001"
    assert host["NetworkMode"] == "none"
    assert host["CapDrop"] == ["ALL"] and not host["CapAdd"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["ReadonlyRootfs"] and "/tmp" in host["Tmpfs"]
    assert host["Memory"] == host["MemorySwap"] == 3 << 30
    assert host["PidsLimit"] == 256 and not host["Privileged"] and not host["Binds"]
    everything = json.dumps(about) + seen["log"] + " ".join(map(str, recorder.events))
    assert "Tokenname" not in everything and "P4711" not in everything


@pytest.mark.parametrize(
    ("way", "limits", "error", "words"),
    [
        ("unusable", {}, UnusableInput, "only 3 slices: give the whole planning CT"),
        ("fault", {}, RuntimeFault, "exit code 3): The model is damaged"),
        ("silent", {}, RuntimeFault, "something odd happened"),
        ("memory", {"memory": "64m"}, EngineFault, "more than its 64m of memory"),
        ("slow", {"timeout_s": 1.5}, EngineFault, "did not finish within 1.5 s"),
        ("badjson", {}, RuntimeFault, "no readable result.json"),
        ("contract2", {}, RuntimeFault, "container contract 2, this client knows 1"),
        ("incomplete", {}, RuntimeFault, "names a labelmap of Brainstem and did not write it"),
        ("link", {}, RuntimeFault, "hold a link"),
    ],
)
def test_each_fault_of_a_container_is_a_sentence(engine, tmp_path, way, limits, error, words):
    with pytest.raises(error, match=r".") as caught:
        run(engine, tmp_path, way, **limits)
    assert words in caught.value.sentence
    assert "Traceback" not in caught.value.sentence and "\n" not in caught.value.sentence
    assert left_in(tmp_path) == []


def test_results_that_are_too_large(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "MOST_RESULT_BYTES", 1 << 20)
    recorder = Recorder()
    with pytest.raises(RuntimeFault, match="larger than 1 MB"):
        run(engine, tmp_path, "big", recorder)
    assert left_in(tmp_path) == []
    assert recorder.messages("warning") == ["This is a test image."]


def test_killed_from_outside(engine, tmp_path):
    job = make_job(tmp_path)
    kill = Recorder({"read": lambda: engine.client.kill(containers.container_name(job.id))})
    with pytest.raises(EngineFault, match="killed from outside"):
        runtime_of(engine, "slow").run(job, kill, CancelToken())


def test_removed_from_outside(engine, tmp_path):
    job = make_job(tmp_path)
    name = containers.container_name(job.id)
    remove = Recorder({"read": lambda: engine.client.remove_container(name, v=True, force=True)})
    with pytest.raises(EngineFault, match="removed by someone else"):
        runtime_of(engine, "slow").run(job, remove, CancelToken())


@pytest.mark.parametrize("stage", ["upload", "read", "download"])
def test_cancel_while(engine, tmp_path, stage):
    cancel = CancelToken()
    recorder = Recorder({stage: cancel.cancel})
    with pytest.raises(Cancelled):
        run(engine, tmp_path, "big" if stage == "download" else "slow", recorder, cancel)
    assert left_in(tmp_path) == []
    assert not [message for message in recorder.messages("warning") if "could not be removed" in message]


def test_cancel_before_and_while_creating(engine, tmp_path, monkeypatch):
    cancel = CancelToken()
    make = engine.client.create_container

    def cancel_then_make(*arguments, **named):
        cancel.cancel()
        return make(*arguments, **named)

    monkeypatch.setattr(engine.client, "create_container", cancel_then_make)
    with pytest.raises(Cancelled):
        run(engine, tmp_path, "slow", cancel=cancel)
    assert left_in(tmp_path) == []


def test_two_jobs_at_once(engine, tmp_path):
    runtime = runtime_of(engine, "late")
    jobs = [make_job(tmp_path), make_job(tmp_path)]
    running = []
    together = threading.Barrier(2, timeout=30)

    def work(job):
        recorder = Recorder({"read": lambda: (together.wait(), running.append(len(job_containers(engine.client))))})
        runtime.run(job, recorder, CancelToken())

    threads = [threading.Thread(target=work, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert min(running) >= 2
    assert all((job.results / "Brainstem.nii.gz").is_file() for job in jobs)


def test_disk_of_this_computer_is_full(engine, tmp_path):
    require(os.geteuid() == 0, "root, to mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], check=True)
    try:
        job = make_job(disk)

        def fill():
            try:
                with (disk / "ballast").open("wb", buffering=0) as file:
                    while True:
                        file.write(bytes(4096))
            except OSError:
                pass

        with pytest.raises(RuntimeFault, match="disk of this computer is full"):
            runtime_of(engine, "ok").run(job, Recorder({"write": fill}), CancelToken())
        assert sorted(path.name for path in job.path.iterdir()) == ["img.nii.gz", "results"]
        assert list(job.results.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_other_organs_in_the_image_need_no_change_here(engine, tmp_path):
    """The client takes organs, names and paths from the image alone: here they lie elsewhere."""
    more = (
        'USER root\nRUN mkdir /in /out && chown 10001 /in /out\nUSER 10001\nVOLUME ["/in", "/out"]\n'
        'LABEL org.hnsegmenter.data="/in" org.hnsegmenter.results="/out"\n'
    )
    image_of(engine.client, "ok")
    info = images.inspect(engine, child_of(engine.client, "ok", more))
    assert (info.data, info.results) == ("/in", "/out")
    job = make_job(tmp_path)
    DockerRuntime(engine, info).run(job, ignore, CancelToken())
    assert (job.results / "Brainstem.nii.gz").is_file()


def test_memory_limit_that_is_none(engine, tmp_path):
    with pytest.raises(WrongUsage, match="no amount of memory"):
        run(engine, tmp_path, "ok", memory="much")


class TestResumption:
    """A client that dies leaves its container; a later one fetches the result or removes it."""

    @pytest.fixture
    def left_behind(self, engine, tmp_path):
        """A job whose client was killed while the container ran; keep is asked for or not."""

        def make(keep: bool):
            job = make_job(tmp_path)
            code = (
                "import sys, os\n"
                "from pathlib import Path\n"
                "from HNSegmenterLib.events import CancelToken\n"
                "from HNSegmenterLib.runtimes import engine, images\n"
                "from HNSegmenterLib.runtimes.base import JobFolder\n"
                "from HNSegmenterLib.runtimes.docker_runtime import DockerRuntime\n"
                "job = JobFolder(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))\n"
                "found = engine.connect()\n"
                "runtime = DockerRuntime(found, images.inspect(found, sys.argv[4]), keep=sys.argv[5] == 'True')\n"
                "runtime.run(job, lambda event: event.stage == 'read' and os._exit(9), CancelToken())\n"
            )
            tag = image_of(engine.client, "late")
            command = [sys.executable, "-c", code, job.id, str(job.path), str(job.image), tag, str(keep)]
            ended = subprocess.run(command, env=environment(), timeout=60, check=False)
            assert ended.returncode == 9
            return job

        return make

    def test_fetch_the_result_of_a_job_that_went_on(self, engine, left_behind):
        job = left_behind(keep=True)
        assert containers.remove_orphans(engine) == []
        (found,) = [item for item in containers.find_jobs(engine) if item.job_id == job.id]
        assert found.ours and found.keep and not found.in_use
        runtime_of(engine, "late").resume(job, ignore, CancelToken())
        assert Result.read(job.results / "result.json").organs[0].voxels == 4800

    def test_remove_what_nobody_asked_to_keep(self, engine, left_behind, tmp_path):
        job = left_behind(keep=False)
        assert engine.client.inspect_container(containers.container_name(job.id))["State"]["Running"]
        run(engine, tmp_path, "ok")
        with pytest.raises(docker.errors.NotFound):
            engine.client.inspect_container(containers.container_name(job.id))


def test_a_container_of_another_computer_stays_until_that_one_lets_go_of_it(engine, tmp_path):
    """Computers with one home folder share the records, but a process id means nothing on another of them."""
    job_id = "d" * 32
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    containers.create(engine, runtime_of(engine, "ok").image, job_id, "img.nii", Limits())
    try:
        record = {"engine": engine.endpoint.url, "host": "another-computer", "pid": ended.pid, "keep": False}
        file = jobs_folder() / "containers" / f"{job_id}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(record))
        assert containers.remove_orphans(engine) == []
        (found,) = [item for item in containers.find_jobs(engine) if item.job_id == job_id]
        assert found.ours and found.in_use
        file.write_text(json.dumps(record | {"host": platform.node()}))
        assert containers.remove_orphans(engine) == [job_id]
    finally:
        containers.remove(engine, job_id)
        containers.forget(job_id)


def environment() -> dict:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}


def test_containers_of_others_stay(engine, tmp_path):
    """A container with our label but without a record here: another computer's, on a shared engine."""
    runtime = runtime_of(engine, "ok")
    containers.create(engine, runtime.image, "f" * 32, "img.nii", Limits())
    try:
        run(engine, tmp_path, "ok")
        (found,) = [item for item in containers.find_jobs(engine) if item.job_id == "f" * 32]
        assert not found.ours and found.state == "created"
    finally:
        containers.remove(engine, "f" * 32)
