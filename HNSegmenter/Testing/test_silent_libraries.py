"""Nothing of a patient's file on stderr, stdout, in result.json or a report, of whatever command:
libraries quote what they stumble over."""

from __future__ import annotations

import gzip
import json
import logging
import shutil
import struct
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest
import SimpleITK as sitk

from HNSegmenterLib.silent_libraries import quiet
from Testing.awkward_patient import SERIES_UID, tells_nothing, write_awkward
from Testing.machine import ROOT, require_program

TWO_ORGANS = ROOT / "training" / "fixtures" / "two_organs"


def run(*arguments, code: int = 0) -> tuple[str, str]:
    command = [sys.executable, "-m", "HNSegmenterLib", *map(str, arguments)]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="backslashreplace",
        timeout=300,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def series(tmp_path_factory) -> Path:
    require_program("dcmcjpeg")
    return write_awkward(tmp_path_factory.mktemp("awkward") / "ct")[0].parent


@pytest.fixture(scope="module")
def segmented(series, tmp_path_factory) -> tuple[Path, str, str]:
    out = tmp_path_factory.mktemp("segmented")
    return out, *run("segment", series, "-o", out, "--runtime", "local", "--model", TWO_ORGANS, "--json")


def test_the_input_is_one_that_libraries_speak_of(series):
    speaks = (
        f"import pydicom; d = pydicom.dcmread({str(series / 'CT0001.dcm')!r}); [d.get(tag) "
        "for tag in list(d.keys()) if tag.group < 0x28]"
    )
    said = subprocess.run([sys.executable, "-c", speaks], capture_output=True, text=True, check=False).stderr
    assert "XQCHARSET" in said and "0977001" in said


def test_segment_says_nothing_of_it(segmented):
    out, stdout, stderr = segmented
    assert stderr == ""
    tells_nothing(stdout, (out / "result.json").read_text())
    assert json.loads(stdout.splitlines()[-1])["event"] == "result"
    assert b"XQNAME" in (out / "rtstruct.dcm").read_bytes()


def test_a_refusal_is_one_sentence_of_our_own(series, tmp_path):
    shutil.copytree(series, tmp_path / "ct")
    (tmp_path / "ct" / "CT0010.dcm").unlink()
    stdout, stderr = run(
        "segment", tmp_path / "ct", "-o", tmp_path / "out", "--runtime", "local", "--model", TWO_ORGANS, code=2
    )
    assert len(stderr.splitlines()) == 1 and f"missing in series {SERIES_UID}" in stderr
    tells_nothing(stdout, stderr)


def test_evaluate_says_nothing_of_the_structure_set_that_it_reads(segmented, tmp_path):
    out, patient = segmented[0], tmp_path / "set" / "pt_1"
    patient.mkdir(parents=True)
    shutil.copyfile(out / "segmentations" / "Brain.nii.gz", patient / "label.nii.gz")
    shutil.copytree(out, tmp_path / "made" / "pt_1")
    (tmp_path / "labels.json").write_text('{"1": "Brain"}')
    options = [
        "--labels",
        tmp_path / "labels.json",
        "--predictions",
        tmp_path / "made",
        "-o",
        tmp_path / "report",
        "--through",
        "rtstruct",
    ]
    stdout, stderr = run("evaluate", tmp_path / "set", *options)
    assert stderr == "" and "1.000" in (tmp_path / "report" / "evaluation.csv").read_text()
    tells_nothing(stdout, *(path.read_text() for path in (tmp_path / "report").glob("evaluation.[cm]*")))


def test_evaluate_says_nothing_of_images_that_itk_warns_of(tmp_path):
    patient = tmp_path / "set" / "XQNAME"
    patient.mkdir(parents=True)
    label = patient / "label.nii.gz"
    sitk.WriteImage(sitk.Image(8, 8, 8, sitk.sitkUInt8) + 1, str(patient / "label.nii"))
    data = bytearray((patient / "label.nii").read_bytes())
    struct.pack_into("<f", data, 280, -5.0)  # the first of the sform, for voxels of 1 mm
    label.write_bytes(gzip.compress(bytes(data)))
    said = subprocess.run(
        [sys.executable, "-c", f"import SimpleITK; SimpleITK.ReadImage({str(label)!r})"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "XQNAME" in said.stderr
    (tmp_path / "labels.json").write_text('{"1": "Brain"}')
    shutil.copytree(patient, tmp_path / "made" / "XQNAME")
    (tmp_path / "made" / "XQNAME" / "label.nii.gz").rename(tmp_path / "made" / "XQNAME" / "Brain.nii.gz")
    options = ["--labels", tmp_path / "labels.json", "--predictions", tmp_path / "made", "-o", tmp_path / "report"]
    assert run("evaluate", tmp_path / "set", *options)[1] == ""


def test_quiet_holds_until_the_last_thread_has_left(capfd):
    """Warnings and loggers are the process's: who leaves first must not give the others their voice back."""
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()
    logger, handler = logging.getLogger("pydicom"), logging.StreamHandler()
    before, filters = logger.disabled, list(warnings.filters)

    def first() -> None:
        with quiet():
            first_in.set()
            second_in.wait(10)
        first_out.set()

    thread = threading.Thread(target=first)
    thread.start()
    first_in.wait(10)
    logger.addHandler(handler)
    try:
        with quiet():
            second_in.set()
            thread.join(10)
            assert first_out.is_set()
            warnings.warn("XQWARNED", stacklevel=1)
            logger.warning("XQLOGGED")
            assert not sitk.ProcessObject.GetGlobalWarningDisplay()
    finally:
        logger.removeHandler(handler)
    tells_nothing(*capfd.readouterr())
    assert logger.disabled == before and warnings.filters == filters and sitk.ProcessObject.GetGlobalWarningDisplay()


def test_a_process_of_ours_is_silent_in_every_thread():
    lines = """
import logging, threading, warnings
from HNSegmenterLib.silent_libraries import silence_process
silence_process()
warnings.warn("XQWARNED")
logging.getLogger("some.library").error("XQLOGGED")
def fault(): raise ValueError("XQVALUE")
thread = threading.Thread(target=fault)
thread.start()
thread.join()
"""
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=False)
    assert done.stdout == "" and done.stderr == "An unforeseen fault (ValueError) beside the command.\n"
