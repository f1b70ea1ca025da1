"""Approving and rejecting on a real node: one decision a result, whoever else decides, whenever a client dies."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from base64 import b64encode
from dataclasses import replace
from datetime import datetime
from urllib.parse import urlsplit

import pydicom
import pytest

from HNSegmenterLib.errors import UnusableInput, WrongUsage
from HNSegmenterLib.rtstruct import pair
from HNSegmenterLib.rtstruct.rois import REVIEW as ASKS_FOR_REVIEW
from HNSegmenterLib.service.inbox import listing, review
from HNSegmenterLib.service.inbox.finalising import read_rtstruct
from HNSegmenterLib.service.inbox.review import Late
from HNSegmenterLib.service.inbox.review_record import reviewed_set
from HNSegmenterLib.service.node.client import REVIEW, Node, NodeFault
from Testing.machine import ROOT
from Testing.phantoms import head_phantom, write_ct_series
from Testing.rtstruct.help import contours, dciodvfy_complaints
from Testing.service.fixtures import MONACO, make_node, write_service_toml
from Testing.service.review_help import (
    PATIENT,
    REVIEWER,
    SPACING,
    approve,
    command_line,
    edited,
    finalised,
    own_node,
    put_waiting,
    rest,
    waiting,
)

SECOND = "Second^Test"


def test_an_approved_set_is_complete_and_says_who_reviewed_it(approve, finalised, waiting, tmp_path):
    made = approve()
    (tmp_path / "reviewed.dcm").write_bytes(reviewed_set(waiting.node, waiting.series, "job1"))
    dataset, original = finalised(), pydicom.dcmread(waiting.rtstruct)
    assert dciodvfy_complaints(tmp_path / "reviewed.dcm") == []
    assert dataset.SOPInstanceUID == made.sop_instance_uid != original.SOPInstanceUID
    assert dataset.SeriesInstanceUID not in (original.SeriesInstanceUID, waiting.uid)
    assert contours(dataset) == contours(original)
    lines = dataset.StructureSetDescription.split("\r\n")
    assert lines[0] == f"Reviewed by {REVIEWER}, {datetime.fromisoformat(made.time):%Y-%m-%d %H:%M}."
    assert ASKS_FOR_REVIEW not in dataset.StructureSetDescription
    assert all(
        item.ROIDescription.startswith(f"Reviewed by {REVIEWER}. Drawn by") for item in dataset.StructureSetROISequence
    )
    assert dataset.ApprovalStatus == "UNAPPROVED" and "ReviewerName" not in dataset
    (frame,) = dataset.ReferencedFrameOfReferenceSequence
    assert frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].SeriesInstanceUID == waiting.uid


def test_before_approval_the_node_holds_images_alone(waiting, own_node, approve):
    def kinds():
        return [own_node.get(f"/series/{series}").json()["MainDicomTags"]["Modality"] for series in own_node.series()]

    before = kinds()
    assert set(before) == {"CT"}
    approve()
    assert kinds() == before


def test_the_ct_is_read_from_the_node_where_no_folder_is_named(approve, finalised, waiting, own_folders):
    approve(ct_folder=None)
    assert contours(finalised()) == contours(pydicom.dcmread(waiting.rtstruct))
    assert list((own_folders / "jobs").iterdir()) == []


def test_edits_renames_and_additions_are_told_apart(approve, finalised, waiting, tmp_path):
    def change(dataset):
        by_name = {item.ROIName: item for item in dataset.StructureSetROISequence}
        by_name["Parotid_L"].ROIGenerationAlgorithm = "SEMIAUTOMATIC"
        by_name["Brainstem"].ROIName = "Hirnstamm"
        number = by_name["Eye_R"].ROINumber
        by_name["Eye_R"].ROIName, by_name["Eye_R"].ROIGenerationAlgorithm = "GTVp", "MANUAL"
        (seen,) = [item for item in dataset.RTROIObservationsSequence if item.ReferencedROINumber == number]
        seen.RTROIInterpretedType = "GTV"
        del seen.RTROIIdentificationCodeSequence

    approve(rtstruct=edited(waiting, tmp_path, change))
    dataset = finalised()
    drawn = {str(item.ROIName): item.ROIGenerationAlgorithm for item in dataset.StructureSetROISequence}
    assert drawn["Parotid_L"] == "SEMIAUTOMATIC" and drawn["Hirnstamm"] == "AUTOMATIC" and drawn["GTVp"] == "MANUAL"
    assert set(drawn) == {"Hirnstamm", "SpinalCord", "Parotid_L", "Parotid_R", "Eye_L", "GTVp"}
    rois = {roi.name: roi for roi in pair(dataset).rois}
    assert rois["Hirnstamm"].codes == {("119238007", "SCT", "")}
    assert (rois["GTVp"].interpreted_types, rois["GTVp"].codes) == ({"GTV"}, set())
    assert "Eye_R: found, but left out." in dataset.StructureSetDescription


@pytest.mark.parametrize("name", ["Müller^Änne", "Ωmega^Test", "Иванова"])
def test_a_reviewers_name_may_have_any_letters(approve, finalised, name, tmp_path, waiting):
    approve(name)
    assert finalised().StructureSetDescription.startswith(f"Reviewed by {name},")
    (tmp_path / "reviewed.dcm").write_bytes(reviewed_set(waiting.node, waiting.series, "job1"))
    assert dciodvfy_complaints(tmp_path / "reviewed.dcm") == []


@pytest.mark.parametrize("name", ["", "  ", "two\\values", "a" * 65, "new\nline"])
def test_without_a_usable_name_nothing_is_decided(approve, rest, waiting, name):
    with pytest.raises(WrongUsage, match="reviewer's name"):
        approve(name)
    with pytest.raises(WrongUsage, match="reviewer's name"):
        review.reject(rest, waiting.series, name, "wrong patient side")
    assert rest.attachment(waiting.series, REVIEW) is None


def test_the_same_again_is_answered_with_what_is_there(approve, rest, waiting):
    assert approve() == approve() == review.read(rest, waiting.series, "job1")


def test_who_comes_second_is_told_who_was_first(approve, rest, waiting, tmp_path):
    made = approve()
    with pytest.raises(Late, match=f"{REVIEWER.replace('^', '.')} approved this result first"):
        approve(SECOND)
    with pytest.raises(Late, match="approved this result first"):
        review.reject(rest, waiting.series, SECOND, "no")
    with pytest.raises(Late, match="approved this result first"):  # the same reviewer with other contours
        approve(rtstruct=edited(waiting, tmp_path, lambda dataset: setattr(dataset, "StructureSetLabel", "OTHER")))
    assert review.read(rest, waiting.series, "job1") == made


def test_of_many_at_once_one_is_first(approve, rest, own_node, waiting):
    outcomes = []

    def decide(number: int) -> None:
        with Node(own_node.settings.node) as own:
            try:
                if number % 2:
                    made = review.approve(
                        own,
                        own_node.settings,
                        waiting.series,
                        f"R{number}^Test",
                        waiting.rtstruct,
                        ct_folder=waiting.ct,
                    )
                else:
                    made = review.reject(own, waiting.series, f"R{number}^Test", "no")
                outcomes.append(made)
            except Late as late:
                outcomes.append(late)

    threads = [threading.Thread(target=decide, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (first,) = [outcome for outcome in outcomes if isinstance(outcome, review.Review)]
    assert len(outcomes) == 6
    assert review.read(rest, waiting.series, "job1") == first
    assert all(first.reviewer in outcome.sentence for outcome in outcomes if outcome is not first)


def test_a_rejection_holds_its_reason(rest, waiting, approve):
    made = review.reject(rest, waiting.series, REVIEWER, " the left eye\n is missing ")
    assert made.reason == "the left eye is missing"
    assert (
        review.read(rest, waiting.series, "job1")
        == made
        == review.reject(rest, waiting.series, REVIEWER, "the left eye is missing")
    )
    assert reviewed_set(rest, waiting.series, "job1") is None
    with pytest.raises(Late, match="rejected this result first"):
        approve()
    with pytest.raises(WrongUsage, match="reason is missing"):
        review.reject(rest, waiting.series, REVIEWER, " ")


def test_a_result_that_was_superseded_is_not_approved(approve, rest, waiting):
    waiting.attach_job(job="job2")
    with pytest.raises(Late, match="superseded"):
        approve(job="job1")
    with pytest.raises(Late, match="superseded"):
        review.reject(rest, waiting.series, REVIEWER, "no", job="job1")
    assert rest.attachment(waiting.series, REVIEW) is None


def test_a_series_that_has_grown_is_not_approved(approve, rest, waiting, tmp_path):
    grown = write_ct_series(tmp_path / "grown", head_phantom((26, 64, 64), SPACING), SPACING)
    before = len(rest.series(waiting.series)["Instances"])
    extra = pydicom.dcmread(max(grown))
    extra.SeriesInstanceUID = waiting.uid
    extra.StudyInstanceUID = pydicom.dcmread(min(waiting.ct.iterdir())).StudyInstanceUID
    extra.save_as(tmp_path / "extra.dcm")
    rest.upload((tmp_path / "extra.dcm").read_bytes())
    assert len(rest.series(waiting.series)["Instances"]) == before + 1
    with pytest.raises(Late, match="has changed since it was segmented"):
        approve()


@pytest.mark.parametrize("state", ["held", "failed", "segmenting", "sent", "superseded"])
def test_only_what_waits_is_reviewed(approve, rest, waiting, state):
    waiting.attach_job(state=state)
    with pytest.raises(Late, match=f"it is {state}"):
        approve()
    with pytest.raises(Late, match=f"it is {state}"):
        review.reject(rest, waiting.series, REVIEWER, "no")


def test_a_review_of_an_older_result_gives_way_and_is_told(approve, rest, waiting):
    approve()
    waiting.attach_job(job="job2")
    assert review.read(rest, waiting.series, "job2") is None
    told = listing.patient(rest, waiting.series)["warnings"][0]
    assert told == f"The review by {REVIEWER} was of an earlier result, before the series changed: review this one."
    made = approve(SECOND)
    assert review.read(rest, waiting.series, "job2") == made
    assert review.read(rest, waiting.series, "job1") is None
    assert "earlier result" not in str(listing.patient(rest, waiting.series))


def test_another_patients_contours_are_refused(approve, waiting, tmp_path, rest):
    with pytest.raises(UnusableInput, match="another patient"):
        approve(rtstruct=edited(waiting, tmp_path, lambda dataset: setattr(dataset, "PatientID", "TEST-0002")))
    with pytest.raises(UnusableInput, match="no RTSTRUCT"):
        approve(rtstruct=min(waiting.ct.iterdir()))
    (tmp_path / "text.dcm").write_text("contours")
    with pytest.raises(UnusableInput, match="no readable DICOM file"):
        approve(rtstruct=tmp_path / "text.dcm")
    with pytest.raises(UnusableInput, match="cannot be read"):
        approve(rtstruct=tmp_path / "none.dcm")
    assert rest.attachment(waiting.series, REVIEW) is None


def test_files_of_another_ct_are_refused(approve, waiting, tmp_path):
    other = tmp_path / "other"
    write_ct_series(other, head_phantom((24, 64, 64), SPACING), SPACING)
    with pytest.raises(UnusableInput):
        approve(ct_folder=other)


def test_destinations_must_be_known(approve, rest, waiting, own_node):
    with pytest.raises(WrongUsage, match="PINNACLE is no destination of the configuration: choose from MONACO"):
        approve(destinations=["PINNACLE"])
    automatic = {MONACO: replace(own_node.settings.destinations[MONACO], automatic=True)}
    for none_left in ({}, automatic):
        settings = replace(own_node.settings, destinations=none_left)
        with pytest.raises(WrongUsage, match="No destination gets reviewed structure sets"):
            review.approve(rest, settings, waiting.series, REVIEWER, waiting.rtstruct, ct_folder=waiting.ct)
    assert approve(destinations=[MONACO]).destinations == (MONACO,)


def test_a_node_that_does_not_compare_versions_is_refused(make_node, tmp_path):
    made = make_node("careless")
    made.stop()
    values = json.loads(made.orthanc_json.read_text())
    made.orthanc_json.write_text(json.dumps({**values, "CheckRevisions": False}))
    made.start()
    with Node(made.settings.node) as rest:
        waiting = put_waiting(rest, tmp_path / "patient")
        with pytest.raises(UnusableInput, match="CheckRevisions"):
            review.approve(rest, made.settings, waiting.series, REVIEWER, waiting.rtstruct, ct_folder=waiting.ct)


# A client that a power cut ends: with the CT in its folder, before the node took the review, or after.
KILLED = """
import os, signal, sys
from HNSegmenterLib.service.inbox import finalising
from HNSegmenterLib.service.node.client import Node
real, when = Node.attach_instead, os.environ["KILL_AT"]
if when == "working": finalising.finalised = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
def attach_instead(self, *arguments):
    if when == "before": os.kill(os.getpid(), signal.SIGKILL)
    real(self, *arguments)
    os.kill(os.getpid(), signal.SIGKILL)
Node.attach_instead = attach_instead
from HNSegmenterLib.cli.main import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("when", ["working", "before", "after"])
def test_a_client_killed_in_the_middle_leaves_one_decision_or_none(own_node, waiting, rest, when, own_folders):
    words = ["inbox", "approve", waiting.series, "--reviewer", REVIEWER, "--rtstruct", str(waiting.rtstruct)]
    words += ["--config", str(own_node.config)]
    client = [sys.executable, "-c", KILLED, *words]
    killed = subprocess.run(
        client,
        cwd=ROOT / "HNSegmenter",
        env={**os.environ, "KILL_AT": when},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    left = review.read(rest, waiting.series, "job1")
    assert (left is None) == (when != "after")
    assert len(list((own_folders / "jobs").iterdir())) == (when == "working")
    again = command_line(*words, "--json")
    assert again.returncode == 0, again.stderr
    assert list((own_folders / "jobs").iterdir()) == [], "the patient's files outlived the killed client"
    made = review.read(rest, waiting.series, "job1")
    assert json.loads(again.stdout.splitlines()[-1])["review"]["sop_instance_uid"] == made.sop_instance_uid
    assert left in (None, made)
    assert read_rtstruct(reviewed_set(rest, waiting.series, "job1")).SOPInstanceUID == made.sop_instance_uid


def test_half_a_review_is_none(own_node, waiting, rest, approve):
    """The connection breaks in the middle of the attachment."""
    where = urlsplit(own_node.url)
    user = b64encode(":".join(own_node.auth).encode()).decode()
    head = (
        f"PUT /series/{waiting.series}/attachments/{REVIEW} HTTP/1.1\r\nHost: {where.netloc}\r\nAuthorization: "
        f"Basic {user}\r\n"
    )
    with socket.create_connection((where.hostname, where.port)) as connection:
        connection.sendall(f"{head}Content-Length: 100000\r\n\r\n".encode() + b"x" * 5000)
    assert review.read(rest, waiting.series, "job1") is None
    assert rest.attachment(waiting.series, REVIEW) is None
    assert review.read(rest, waiting.series, "job1") is None
    assert approve().decision == "approve"


def test_an_attachment_that_is_no_review_counts_as_none(rest, waiting, approve):
    rest.attach(waiting.series, REVIEW, b'{"decision": "approve"}')
    assert review.read(rest, waiting.series, "job1") is None
    assert review.read(rest, waiting.series, "job1") is None
    assert approve() == review.read(rest, waiting.series, "job1")


def test_a_node_that_is_away_is_said(own_node, waiting, approve):
    own_node.stop()
    try:
        with pytest.raises(NodeFault, match="Nothing listens at"):
            approve()
    finally:
        own_node.start()


def test_the_node_remembers_the_decision_after_a_power_cut(own_node, rest, approve, waiting):
    made = approve()
    own_node.kill()
    own_node.start()
    assert review.read(rest, waiting.series, "job1") == made
    assert approve() == made


def test_the_command_says_no_name_number_or_password_of_anyone_but_the_reviewer(own_node, waiting, tmp_path):
    where = ["--config", own_node.config, "--reviewer", REVIEWER]
    said = command_line("inbox", "approve", waiting.series, "--rtstruct", waiting.rtstruct, "--ct", waiting.ct, *where)
    late = command_line(
        "inbox", "reject", waiting.uid, "--reason", "no", "--config", own_node.config, "--reviewer", SECOND
    )
    assert said.returncode == 0 and late.returncode == 1
    assert f"{REVIEWER} approved this result first" in late.stderr
    shown = said.stdout + said.stderr + late.stdout + late.stderr + own_node.log.read_text(errors="replace")
    for secret in (*PATIENT, own_node.settings.node.password()):
        assert secret not in shown
