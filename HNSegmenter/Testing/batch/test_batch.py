"""A batch as a whole: what is done, left out, refused, done again; and that no patient is named but on the screen."""

from __future__ import annotations

import os
import shutil

import pytest

pytest.importorskip("huey")
from Testing.batch.help import SOUND, Batch, folders, lines, remains, run, states, write_root
from Testing.service.serving import QUICK_MODEL, identity, write_head

REASONS = ("1 slice is missing", "Image 2.25.", "The values of series")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_root(tmp_path_factory.mktemp("root"))


@pytest.fixture(scope="module")
def first(root, tmp_path_factory):
    """(the ended batch, its folder, exit code, result)."""
    folder = tmp_path_factory.mktemp("first")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HNSEG_JOBS", str(folder / "user" / "jobs"))
        patch.setenv("HNSEG_SETTINGS", str(folder / "user" / "settings.json"))
        batch = Batch(root, folder / "out", "--jobs", 2)
        code, result = batch.end()
    assert list((folder / "user" / "jobs").iterdir()) == []
    return batch, folder / "out", code, result


def test_every_sound_one_is_done_and_the_broken_say_why(first):
    _, out, code, result = first
    assert code == 1
    assert len(result["done"]) == SOUND and sorted(result["done"]) == sorted(folders(out))
    assert len(result["failed"]) == 3
    for reason in REASONS:
        assert sum(reason in failed["reason"] for failed in result["failed"]) == 1, result["failed"]
    assert [left["reason"] for left in result["left_out"]] == [
        "The series has only 3 CT images (at least 20 are needed)."
    ]
    assert remains(out) == []


def test_the_table_has_a_line_for_each_organ(first):
    _, out, _, _ = first
    assert states(out) == {"done": SOUND, "failed": 3, "left out": 1}
    done = [line for line in lines(out) if line["state"] == "done"]
    assert len(done) == 2 * SOUND and {line["organ"] for line in done} == {"Brain", "Bone_Mandible"}
    brain = next(line for line in done if line["organ"] == "Brain")
    assert float(brain["volume_ml"]) > 500 and 0 < float(brain["hu_mean"]) < 80 and float(brain["hu_sd"]) > 0
    assert brain["rtstruct_sop_instance_uid"].startswith("2.25.") and "touches" in brain["checks"]


def test_the_patients_are_named_by_no_file_but_the_structure_set(first):
    """Paths are shown on the page, for whoever looks for the patient, and nowhere else."""
    batch, out, _, _ = first
    secrets = {text.encode() for number in (*range(SOUND), 91, 92) for text in identity(number).values()}
    secrets |= {b"DESCR66TOKEN"}
    for path in [path for path in out.rglob("*") if path.is_file()]:
        content = path.read_bytes()
        assert path.name == "rtstruct.dcm" or not any(secret in content for secret in secrets), path
        assert path.name == "index.html" or b"PATH88TOKEN" not in content, path
        assert not any(word in str(path.relative_to(out)) for word in ("TOKEN", "SECRET", "clinic"))
    told = batch.errors + "".join(map(str, batch.events))
    assert not any(secret.decode() in told for secret in secrets) and "PATH88TOKEN" not in told
    assert b"PATH88TOKEN3" in (out / "index.html").read_bytes()


def test_again_does_what_is_new_alone(first, root, tmp_path):
    _, out, _, _ = first
    more, again = tmp_path / "root", tmp_path / "out"
    shutil.copytree(root, more)
    shutil.copytree(out, again)
    before = folders(again)
    write_head(more / "new", 77)
    code, result = run(more, again)
    after = folders(again)
    assert code == 1 and len(result["done"]) == SOUND + 1 and len(result["failed"]) == 3
    assert {name: after[name] for name in before} == before


def test_another_model_needs_to_be_told(first, root, tmp_path):
    _, out, _, _ = first
    again, other = tmp_path / "out", tmp_path / "model"
    only = next(path for path in root.glob("clinic0/PATH88TOKEN*"))
    shutil.copytree(out, again)
    shutil.copytree(QUICK_MODEL, other)
    (other / "SHA256SUMS").write_text((other / "SHA256SUMS").read_text() + "\n")  # another digest, the same network
    before = folders(again)
    code, result = run(only, again, "--model", other)
    assert code == 1 and "--overwrite" in result["failed"][0]["reason"] and folders(again) == before
    code, result = run(only, again, "--model", other, "--overwrite")
    (name,) = {name for name, now in folders(again).items() if now != before[name]}
    assert code == 0 and name in result["done"] and remains(again) == []
    one = folders(again)
    assert run(only, again, "--model", other, "--overwrite")[0] == 0 and folders(again) == one


def test_patterns_choose_as_for_the_node(root, tmp_path):
    one = next(path for path in root.glob("clinic1/PATH88TOKEN*"))
    code, result = run(one, tmp_path / "out", "--series", "^planning")
    assert code == 0 and result["done"] == []
    assert result["left_out"][0]["reason"] == "Its description matches none of the patterns in [rules]."
    rules = tmp_path / "rules.toml"
    rules.write_text("[rules]\nminimum_slices = 60\n")
    code, result = run(one, tmp_path / "out", "--config", rules)
    assert code == 0 and "at least 60 are asked for" in result["left_out"][0]["reason"]


@pytest.mark.parametrize(
    ("options", "says", "code"),
    [
        (("nowhere",), "nowhere", 2),
        ((".",), "No CT series", 2),
        ((".", "--jobs", "0"), "from 1", 64),
        ((".", "--series", "("), "--series must be a list of regular expressions", 64),
        ((".", "--redis", "redis:/here"), "--redis must be", 64),
        ((".", "--redis", "redis://127.0.0.1:1/0"), "is Redis running", 1),
    ],
)
def test_what_cannot_begin_says_why(tmp_path, options, says, code):
    (tmp_path / "in").mkdir()
    root, *rest = options
    if "redis://127.0.0.1:1/0" in rest:
        write_head(tmp_path / "in" / "ct")
    ended, last = run(tmp_path / "in" / root, tmp_path / "out", *rest)
    assert ended == code and says in last["message"], last
    assert folders(tmp_path / "out") == {} if (tmp_path / "out").exists() else True


def test_without_huey_it_says_what_to_install(tmp_path):
    write_head(tmp_path / "ct")
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "huey.py").write_text("raise ModuleNotFoundError('No huey', name='huey')")
    path = os.pathsep.join([str(tmp_path / "without"), os.environ.get("PYTHONPATH", "")])
    code, last = run(tmp_path / "ct", tmp_path / "out", PYTHONPATH=path)
    assert code == 64 and last["message"].endswith("pip install 'hn-segmenter[service]'")


def test_results_do_not_go_among_the_patients(tmp_path):
    write_head(tmp_path / "ct")
    code, last = run(tmp_path, tmp_path)
    assert code == 64 and "another folder" in last["message"]
    assert [path.name for path in tmp_path.iterdir()] == ["ct"]
