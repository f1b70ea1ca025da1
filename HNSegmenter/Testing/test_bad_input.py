"""Every kind of unsuitable input through the command line: exit 2, one sentence that names it, no output."""

import os
import re

import pytest

from HNSegmenterLib.cli.main import main
from HNSegmenterLib.errors import UnusableInput
from HNSegmenterLib.pipeline import segment
from Testing.container.test_input import KINDS, good  # the second: a fixture
from Testing.dicom.test_refused import REFUSED
from Testing.phantoms import head_phantom


def refuse(source, tmp_path, capfd) -> str:
    """What the command line says of it, once everything else that must hold was seen to hold."""
    out = tmp_path / "out"
    assert main(["segment", str(source), "-o", str(out), "--runtime", "local"]) == 2
    printed, said = capfd.readouterr()
    assert not out.exists() and "Traceback" not in printed + said
    sentence = said.splitlines()[-1]  # decoders may print before it, from C
    assert re.search(r"[.?]$", sentence), said
    return sentence


@pytest.mark.parametrize("kind", REFUSED)
def test_unsuitable_dicom(kind, tmp_path, capfd):
    write, expected = REFUSED[kind]
    source = tmp_path / "source"
    source.mkdir()
    write(source)
    sentence = refuse(source, tmp_path, capfd)
    assert re.search(expected, sentence), sentence


@pytest.mark.parametrize(
    "kind",
    [kind for kind in KINDS if kind.__name__ not in ("other_name", "a_folder", "no_such_file")],
    ids=lambda kind: kind.__name__,
)
def test_unsuitable_nifti(kind, good, tmp_path, capfd):
    source = tmp_path / "source"
    source.mkdir()
    path = kind(good, source)
    sentence = refuse(path, tmp_path, capfd)
    assert KINDS[kind] in sentence and str(path) in sentence


def test_what_is_neither(tmp_path, capfd):
    head_phantom().tofile(tmp_path / "ct.raw")
    assert "ct.raw" in refuse(tmp_path / "ct.raw", tmp_path, capfd)
    assert "nowhere" in refuse(tmp_path / "nowhere", tmp_path, capfd)


@pytest.mark.skipif(os.name == "nt", reason="POSIX modes")
def test_a_folder_that_may_not_be_read(tmp_path):
    (tmp_path / "closed" / "ct").mkdir(parents=True)
    (tmp_path / "closed").chmod(0)
    root = os.geteuid() == 0  # root may read everything: be nobody for the moment
    try:
        if root:
            os.seteuid(65534)
        with pytest.raises(UnusableInput, match="may not be read"):
            segment(tmp_path / "closed" / "ct", tmp_path / "out", None)
    finally:
        if root:
            os.seteuid(0)
        (tmp_path / "closed").chmod(0o700)
