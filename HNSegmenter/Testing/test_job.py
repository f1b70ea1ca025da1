"""Job, events and settings: states in order, progress that only grows, nothing left behind."""

import json
import os
import platform
import subprocess
import sys

import pytest

from HNSegmenterLib.errors import Cancelled, HNSegmenterError, RuntimeFault, WrongUsage
from HNSegmenterLib.events import CancelToken, Event
from HNSegmenterLib.job import Job, State, remove_stale
from HNSegmenterLib.result import Result
from HNSegmenterLib.settings import Settings


def test_states_are_told_and_progress_is_of_the_whole_job(tmp_path):
    events = []
    with Job(events.append, root=tmp_path) as job:
        assert json.loads((job.path / "state.json").read_text())["state"] == "created"
        for state in (State.READING, State.RUNNING, State.CHECKING, State.WRITING, State.DONE):
            job.enter(state)
            for fraction in (0.0, 0.5, 1.0) if state is not State.DONE else ():
                job.emit(Event("progress", "part", fraction))
    fractions = [event.fraction for event in events]
    assert fractions == sorted(fractions) and fractions[0] == 0.0 and fractions[-1] == 1.0
    assert [e.stage for e in events if e.kind == "state"] == ["reading", "running", "checking", "writing", "done"]
    assert set(job.timings_s) == {"created", "reading", "running", "checking", "writing"}


@pytest.mark.parametrize(
    ("error", "state"), [(Cancelled(), "cancelled"), (RuntimeFault("x"), "failed"), (MemoryError(), "failed")]
)
def test_a_job_that_fails_leaves_no_folder(tmp_path, error, state):
    events = []
    with pytest.raises(type(error)), Job(events.append, root=tmp_path) as job:
        (job.path / "img.nii").write_bytes(b"a patient")
        raise error
    assert events[-1].stage == state
    assert list(tmp_path.iterdir()) == []


def test_cancel_takes_effect_at_every_state(tmp_path):
    for state in (State.READING, State.RUNNING, State.CHECKING, State.WRITING):
        token = CancelToken()
        with pytest.raises(Cancelled), Job(cancel=token, root=tmp_path) as job:
            token.cancel()
            job.enter(state)
    assert list(tmp_path.iterdir()) == []


def test_folders_of_killed_processes_are_removed_and_those_of_running_ones_kept(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    here = platform.node()
    for name, host, pid in (("dead", here, dead.pid), ("alive", here, os.getpid()), ("elsewhere", "another", dead.pid)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "state.json").write_text(json.dumps({"host": host, "pid": pid}))
    remove_stale(tmp_path)
    assert {folder.name for folder in tmp_path.iterdir()} == {"alive", "elsewhere"}


def test_the_folder_goes_even_if_nobody_can_be_told(tmp_path):
    def emit(event):
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError), Job(emit, root=tmp_path) as job:
        job.enter(State.READING)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="POSIX modes")
def test_the_job_folder_is_for_this_user_alone(tmp_path):
    with Job(root=tmp_path) as job:
        assert job.path.stat().st_mode & 0o077 == 0


def test_a_job_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HNSegmenterError, match="HNSEG_JOBS"), Job(root=tmp_path / "file"):
        pass


def test_settings_come_back_as_they_were_saved(tmp_path):
    path = tmp_path / "deep" / "settings.json"
    assert Settings.load(path) == Settings()
    chosen = Settings(image="hn-segmenter@sha256:" + "0" * 64, docker_host="ssh://user@gpu", runtime="docker")
    chosen.save(path)
    assert Settings.load(path) == chosen
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1]",
        "[]",
        '{"imag": "x"}',
        '{"image": 5}',
        '{"docker_host": 4}',
        '{"timeout_s": "abc"}',
        '{"timeout_s": 0}',
        '{"runtime": "x"}',
    ],
)
def test_unusable_settings_are_said(tmp_path, text):
    path = tmp_path / "settings.json"
    path.write_text(text)
    with pytest.raises(WrongUsage, match="settings"):
        Settings.load(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "result.json"),
        ("[]", "contract"),
        ("{}", "contract"),
        ('{"contract": 2}', "contract 2"),
        ('{"contract": 1}', "contract"),
    ],
)
def test_a_result_that_breaks_the_contract_is_refused(tmp_path, text, says):
    path = tmp_path / "result.json"
    path.write_text(text)
    with pytest.raises(RuntimeFault, match=says):
        Result.read(path)
