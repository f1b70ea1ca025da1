"""What has to be changed of a reviewed set before it is sent: refused, or said and agreed to."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import subprocess
import sys
import termios
from contextlib import suppress
from copy import deepcopy

import numpy as np
import pytest

from HNSegmenterLib.errors import HNSegmenterError, UnusableInput
from HNSegmenterLib.rtstruct import pair
from HNSegmenterLib.service.inbox import finalising, review
from HNSegmenterLib.service.node.client import REVIEW
from Testing.machine import ROOT
from Testing.rtstruct.help import contours
from Testing.service.review_help import REVIEWER, approve, command_line, edited, finalised, own_node, rest, waiting


def as_libraries_number(dataset):
    """The cord deleted, then a GTV added with the count as its number, which the last ROI bears."""
    for keyword in ("StructureSetROISequence", "ROIContourSequence", "RTROIObservationsSequence"):
        items = list(dataset[keyword].value)
        del items[1]
        setattr(dataset, keyword, [*items, deepcopy(items[0])])
    number = len(dataset.StructureSetROISequence)
    dataset.StructureSetROISequence[-1].ROIName, dataset.StructureSetROISequence[-1].ROINumber = "GTVp", number
    dataset.ROIContourSequence[-1].ReferencedROINumber = dataset.RTROIObservationsSequence[-1].ReferencedROINumber = (
        number
    )


def test_two_rois_of_one_number_are_not_approved(approve, rest, waiting, tmp_path):
    with pytest.raises(UnusableInput, match=r"2 ROIs bear ROI Number 6 \(Eye_R, GTVp\)"):
        approve(rtstruct=edited(waiting, tmp_path, as_libraries_number))
    assert rest.attachment(waiting.series, REVIEW) is None


def test_what_is_handed_over_is_compared_with_what_was_reviewed(approve, rest, waiting, monkeypatch):
    """If an organ ever left with another one's contours, the reviewed file would tell."""

    def mistaken(*arguments):
        dataset = complete(*arguments)
        one, two = dataset.ROIContourSequence[:2]
        one.ReferencedROINumber, two.ReferencedROINumber = two.ReferencedROINumber, one.ReferencedROINumber
        return dataset

    complete = finalising.complete
    monkeypatch.setattr(finalising, "complete", mistaken)
    with pytest.raises(
        HNSegmenterError, match="contours of Brainstem, SpinalCord are not those that were to be written"
    ):
        approve()
    assert rest.attachment(waiting.series, REVIEW) is None


def as_others_draw(dataset):
    """A ring in a ring, a contour beside its plane, a point, and an ROI that nothing is drawn of."""
    drawn = {roi.name: roi for roi in pair(dataset).rois}
    ring = max(drawn["Brainstem"].contours, key=lambda item: item.NumberOfContourPoints)
    points = np.reshape(np.array(ring.ContourData, float), (-1, 3))
    hole = deepcopy(ring)
    hole.ContourData = [
        f"{value:.2f}" for value in (points.mean(axis=0) + 0.4 * (points - points.mean(axis=0))).ravel()
    ]
    point = deepcopy(ring)
    point.ContourData, point.NumberOfContourPoints, point.ContourGeometricType = list(ring.ContourData[:3]), 1, "POINT"
    drawn["Brainstem"].drawn[0].ContourSequence += [hole, point]
    beside = drawn["Eye_R"].contours[0]
    beside.ContourData = [float(value) + 0.3 * (n % 3 == 2) for n, value in enumerate(beside.ContourData)]
    drawn["Eye_L"].drawn[0].ContourSequence = []


SAID = [
    "Eye_L has no contour on any slice: it was left out.",
    "1 contour of fewer than three points or without area was left out.",
    "1 contour lies inside another of the same organ: taken as holes.",
    "Contours were moved by up to 0.30 mm into the planes of the CT's slices.",
]


def test_what_has_to_be_changed_is_agreed_to_first(approve, finalised, rest, waiting, tmp_path):
    drawn, asked = edited(waiting, tmp_path, as_others_draw), []
    with pytest.raises(review.NotAgreed, match=r"would differ from what was reviewed.*--yes"):
        approve(rtstruct=drawn)
    with pytest.raises(review.NotAgreed):
        approve(rtstruct=drawn, agree=asked.append)
    assert rest.attachment(waiting.series, REVIEW) is None
    (changes,) = asked
    assert list(changes.sentences) == SAID
    made = approve(rtstruct=drawn, agree=lambda again: again == changes)
    assert review.read(rest, waiting.series, "job1") == made
    assert set(contours(finalised())) == {"Brainstem", "SpinalCord", "Parotid_L", "Parotid_R", "Eye_R"}
    assert approve(rtstruct=drawn) == made, "a repeat asks nobody"


def test_nobody_is_asked_where_nothing_is_changed(approve):
    assert approve(agree=lambda changes: pytest.fail(str(changes.sentences))).decision == "approve"


def test_other_contours_are_another_change(approve, waiting, tmp_path):
    """The same sentences, but one contour elsewhere."""

    def moved(dataset):
        as_others_draw(dataset)
        contour = pair(dataset).rois[2].contours[0]
        contour.ContourData = [float(value) + (n % 3 == 0) for n, value in enumerate(contour.ContourData)]

    asked = []
    for change in (as_others_draw, moved, as_others_draw):
        with pytest.raises(review.NotAgreed):
            approve(rtstruct=edited(waiting, tmp_path, change), agree=asked.append)
    assert asked[0].sentences == asked[1].sentences and asked[0].digest != asked[1].digest
    assert asked[0] == asked[2]


@pytest.fixture
def words(own_node, waiting, tmp_path) -> list:
    """The command that approves the waiting series with contours as others draw them."""
    drawn = edited(waiting, tmp_path, as_others_draw)
    contours = ["--rtstruct", drawn, "--ct", waiting.ct]
    return ["inbox", "approve", waiting.series, *contours, "--config", own_node.config, "--reviewer", REVIEWER]


def test_the_command_says_what_is_changed_and_sends_nothing_unagreed(words, rest, waiting):
    refused = command_line(*words, stdin=subprocess.DEVNULL)
    assert refused.returncode == 1 and "--yes" in refused.stderr.splitlines()[-1]
    assert refused.stderr.splitlines()[:-1] == [f"Warning: {sentence}" for sentence in SAID]
    assert rest.attachment(waiting.series, REVIEW) is None
    approved = command_line(*words, "--yes", stdin=subprocess.DEVNULL)
    assert approved.returncode == 0, approved.stderr
    assert approved.stderr.splitlines() == [f"Warning: {sentence}" for sentence in SAID]
    assert approved.stdout.startswith(f"Approved by {REVIEWER}")


def test_a_program_agrees_to_the_changes_that_it_was_told(words, rest, waiting):

    def said(*more):
        run = command_line(*words, "--json", *more, stdin=subprocess.DEVNULL)
        return run.returncode, [json.loads(line) for line in run.stdout.splitlines()]

    code, events = said()
    changes = next(event["data"] for event in events if event["event"] == "changes")
    assert (code, events[-1]["event"], changes["sentences"]) == (1, "error", SAID)
    assert said("--agreed", "0" * 64)[0] == 1
    assert said("--agreed", changes["digest"], "--yes")[0] == 64
    assert rest.attachment(waiting.series, REVIEW) is None
    code, events = said("--agreed", changes["digest"])
    assert (code, events[-1]["changes"]) == (0, SAID)
    assert events[-1]["review"]["sop_instance_uid"] == review.read(rest, waiting.series, "job1").sop_instance_uid


@pytest.mark.parametrize(("typed", "code"), [("n\n", 130), ("\n", 130), ("\x04", 130), ("\x03", 130), ("y\n", 0)])
def test_at_a_terminal_the_reviewer_is_asked(words, rest, waiting, typed, code):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "HNSegmenterLib", *map(str, words)],
        stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT / "HNSegmenter", start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - else it has no terminal of its own
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while b"[y/N]" not in shown:
        shown += os.read(ours, 4096)
    assert all(sentence.encode() in shown for sentence in SAID)
    os.write(ours, typed.encode())
    while process.poll() is None:
        with suppress(OSError):
            os.read(ours, 4096)
    os.close(ours)
    assert process.returncode == code
    assert (rest.attachment(waiting.series, REVIEW) is None) == (code != 0)
