"""The local runtime's handling of its process, with programs that misbehave in the network's place."""

import os
import signal
import subprocess
import threading
import time

import pytest

from HNSegmenterLib.errors import Cancelled, RuntimeFault, UnusableInput
from HNSegmenterLib.events import CancelToken
from HNSegmenterLib.runtimes.base import JobFolder
from HNSegmenterLib.runtimes.local import LocalRuntime


@pytest.fixture
def network(tmp_path, monkeypatch):
    """Install a program as predict.py and give the job that runs it."""

    def install(program: str) -> JobFolder:
        folder = tmp_path / "network"
        folder.mkdir()
        (folder / "predict.py").write_text("import json, os, signal, sys, time\n" + program)
        monkeypatch.setenv("HNSEG_NETWORK", str(folder))
        job = JobFolder("0" * 32, tmp_path, tmp_path / "img.nii")
        job.results.mkdir()
        return job

    return install


def test_events_come_through_live_and_chatter_is_ignored(network):
    job = network(
        "print('a library says hello')\n"
        "print(json.dumps({'event': 'progress', 'stage': 'network', 'fraction': 0.5}), flush=True)\n"
        "print(json.dumps({'event': 'warning', 'message': 'look out'}), flush=True)\n"
    )
    events = []
    assert LocalRuntime().run(job, events.append, CancelToken()) == job.results
    assert [(e.kind, e.stage, e.fraction, e.message) for e in events] == [
        ("progress", "network", 0.5, None),
        ("warning", None, None, "look out"),
    ]


@pytest.mark.parametrize(
    ("program", "error", "says"),
    [
        (
            "print(json.dumps({'event': 'error', 'message': 'It is no CT.'})); sys.exit(2)",
            UnusableInput,
            "^It is no CT.$",
        ),
        ("sys.exit(2)", UnusableInput, "did not say why"),
        (
            "print(json.dumps({'event': 'error', 'message': 'Model damaged.'})); sys.exit(1)",
            RuntimeFault,
            "Model damaged",
        ),
        ("sys.stderr.write('deep trouble\\n'); sys.exit(3)", RuntimeFault, "code 3.*deep trouble.*doctor"),
        ("os.kill(os.getpid(), signal.SIGKILL)", RuntimeFault, "memory"),
        ("sys.stderr.write('x' * 10_000_000); sys.exit(1)", RuntimeFault, "code 1"),
    ],
)
def test_every_end_is_a_sentence(network, program, error, says):
    job = network(program)
    with pytest.raises(error, match=says) as fault:
        LocalRuntime().run(job, lambda event: None, CancelToken())
    assert len(fault.value.sentence) < 600


@pytest.mark.parametrize("manners", ["", "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"])
def test_cancel_ends_the_process_even_a_stubborn_one(network, tmp_path, manners):
    job = network(
        manners
        + f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\nprint('{{}}', flush=True)\ntime.sleep(60)"
    )
    token = CancelToken()

    def cancel_once_it_runs():
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            time.sleep(0.02)
        token.cancel()

    threading.Thread(target=cancel_once_it_runs).start()
    with pytest.raises(Cancelled):
        LocalRuntime().run(job, lambda event: None, token)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), signal.SIG_DFL)


def test_a_missing_network_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("HNSEG_NETWORK", str(tmp_path))
    with pytest.raises(RuntimeFault, match="not installed"):
        LocalRuntime()


def test_the_library_imports_nothing_heavy():
    code = (
        "import sys, HNSegmenterLib, HNSegmenterLib.cli.main; print(*{'SimpleITK','pydicom','docker','rich'} "
        "& set(sys.modules))"
    )
    run = subprocess.run([os.sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
