"""What happens to a batch: killed, cancelled, its children killed, several at a time."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

pytest.importorskip("huey")
from Testing.batch.help import (
    SOUND,
    Batch,
    folders,
    one_is_done,
    remains,
    run,
    states,
    wait_until_gone,
    write_root,
)
from Testing.machine import ROOT
from Testing.service.fixtures import redis_url
from Testing.service.serving import write_head

# Ends the process that would contour the second patient, as the system does for want of memory; else the network.
DEADLY = """
import os, runpy, signal, sys
import nibabel
if nibabel.load(sys.argv[sys.argv.index("--path") + 1]).shape[2] == 41:
    os.kill(os.getppid(), signal.SIGKILL)
sys.path.insert(0, {network!r})
sys.argv[0] = {network!r} + "/predict.py"
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_root(tmp_path_factory.mktemp("root"))


def test_killed_and_started_again(root, tmp_path, own_folders):
    out = tmp_path / "out"
    batch = Batch(root, out, "--jobs", 2)
    batch.until(one_is_done)
    time.sleep(random.uniform(0.0, 1.0))
    children = batch.children()
    batch.kill()
    done = folders(out)  # whole, all of them
    wait_until_gone(children)
    assert len(done) >= 1 and [path.name[:6] for path in (own_folders / "jobs").iterdir()] == ["batch-"]  # no CT
    code, result = run(root, out, "--jobs", 2)
    after = folders(out)
    assert code == 1 and len(result["done"]) == SOUND and len(result["failed"]) == 3
    assert {name: after[name] for name in done} == done, "what was done was done again"
    assert remains(out) == [] and states(out) == {"done": SOUND, "failed": 3, "left out": 1}


def test_ctrl_c_ends_cleanly(root, tmp_path, own_folders):
    out = tmp_path / "out"
    batch = Batch(root, out, "--jobs", 2)
    batch.until(one_is_done)
    children = batch.children()
    batch.interrupt()
    code, last = batch.end()
    assert code == 130 and "goes on with the rest" in last["message"]
    wait_until_gone(children)
    done = folders(out)
    assert done and remains(out) == []
    assert [path.name[:6] for path in (own_folders / "jobs").iterdir()] == ["batch-"]  # the queue, and no CT
    assert states(out)["done"] == len(done)
    assert run(root, out)[0] == 1
    assert {name: folders(out)[name] for name in done} == done and len(folders(out)) == SOUND


def test_a_series_that_ends_its_process_stops_nobody(tmp_path):
    for number, slices in enumerate((44, 41, 44)):
        write_head(tmp_path / "root" / f"{number}", number, slice(24, 24 + slices))
    network = tmp_path / "network"
    network.mkdir()
    (network / "predict.py").write_text(DEADLY.format(network=str(ROOT / "docker")))
    code, result = run(tmp_path / "root", tmp_path / "out", "--jobs", 1, HNSEG_NETWORK=str(network))
    assert code == 1 and len(result["done"]) == 2 == len(folders(tmp_path / "out"))
    (failed,) = result["failed"]
    assert "ended by the system (code -9)" in failed["reason"]


def test_two_at_one_folder_share_the_work(root, tmp_path):
    """On one computer, without being told."""
    out = tmp_path / "out"
    batches = [Batch(root, out, "--jobs", 1) for _ in range(2)]
    ended = [batch.end() for batch in batches]
    assert [code for code, _ in ended] == [1, 1] and len(folders(out)) == SOUND
    assert all(len(result["done"]) == SOUND and len(result["failed"]) == 3 for _, result in ended)
    assert remains(out) == []


def test_two_machines_with_redis_and_one_of_them_dies(root, tmp_path, redis_url):
    """What the dead one had at hand is taken again when its lease is over: it is another machine's."""
    out, config = tmp_path / "out", tmp_path / "service.toml"
    config.write_text(f'[worker]\nqueue = "{redis_url}"\nlease_s = 2\n')
    dying = Batch(root, out, "--jobs", 1, "--config", config, PYTHONPATH=_other_machine(tmp_path))
    dying.until(one_is_done)
    living = Batch(root, out, "--jobs", 1, "--config", config)
    children = dying.children()
    os.kill(dying.process.pid, signal.SIGSTOP)  # it beats no more, but may come back
    code, result = living.end()
    assert code == 1 and len(result["done"]) == SOUND and len(result["failed"]) == 3
    done = folders(out)
    os.kill(dying.process.pid, signal.SIGCONT)
    code, result = dying.end()
    assert code == 1 and len(result["done"]) == SOUND
    assert folders(out) == done and len(done) == SOUND and remains(out) == []
    wait_until_gone(children)


def _other_machine(tmp_path) -> str:
    """A folder for PYTHONPATH that gives the process another computer's name: nobody here can see that it is gone."""
    folder = tmp_path / "other-machine"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("import platform\nplatform.node = lambda: 'other-machine'\n")
    return os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
