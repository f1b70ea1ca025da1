"""A worker at a real node: what it takes, what it holds and why, what it attaches, and what it leaves alone."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage, RTDoseStorage, SecondaryCaptureImageStorage, generate_uid

from HNSegmenterLib import models
from HNSegmenterLib.cli.main import main
from HNSegmenterLib.result import Result
from HNSegmenterLib.service.node.client import Node
from HNSegmenterLib.service.worker.body_region import UNLIKELY
from Testing.models.made import TWO_ORGANS, model
from Testing.phantoms import edit, head_phantom, save, write_ct_series
from Testing.service.fixtures import make_node, node, planning_system
from Testing.service.serving import HEAD_SPACING, QUICK, Serving, arrived, identity, look, serve, small_head, write_head
from Testing.service.worker.chest_phantom import SPACING_MM, chest_phantom


@pytest.fixture
def quick_node(make_node, planning_system):
    return make_node(planning_port=planning_system.port, worker=QUICK)


def test_heads_wait_for_review_whatever_their_tag_and_a_chest_tagged_head_is_held(node, serve, look, tmp_path):
    """The network really runs: a head without the tag, one with it, a chest that says HEADNECK."""
    arrived(node, write_head(tmp_path / "a", 1, slice(None)))
    arrived(node, write_head(tmp_path / "b", 2, slice(None), BodyPartExamined="HEADNECK"))
    chest = write_ct_series(
        tmp_path / "c", chest_phantom(), SPACING_MM, patient=identity(3), tags={"BodyPartExamined": "HEADNECK"}
    )
    arrived(node, chest)
    worker, table = serve(node.config), look(node)
    jobs = table.until_settled(3, worker)
    by_uid = {job.series_uid: job for job in jobs}
    held = by_uid.pop(str(pydicom.dcmread(chest[0]).SeriesInstanceUID))
    assert held.state == "held" and held.reason.startswith(UNLIKELY) and "Eye_L" in held.reason
    for job in by_uid.values():
        assert (job.state, job.reason, job.attempts) == ("waiting", "", 1)
        assert {organ["name"] for organ in job.summary["organs"] if organ["found"]} >= {
            "Brainstem",
            "Parotid_L",
            "Eye_R",
        }
    _attached(node, next(iter(by_uid.values())))
    assert sorted(attachments(node, held.node_id)) == ["4201"], "a held series has no result to review"
    assert record(node, held.node_id)["reason"] == held.reason
    modalities = {node.get(f"/series/{series}").json()["MainDicomTags"]["Modality"] for series in node.series()}
    assert modalities == {"CT"}, "no RTSTRUCT is an instance of the node"
    assert worker.stop() == 0
    assert not list((node.config.parent / "worker" / "jobs").iterdir()), "no CT is left on the worker's disk"


def _attached(node, job) -> None:
    assert sorted(attachments(node, job.node_id)) == ["4200", "4201"]
    content = node.get(f"/series/{job.node_id}/attachments/4200/data").content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        assert {"rtstruct.dcm", "result.json", "overview.png", "segmentations/Brainstem.nii.gz"} <= set(names)
        rtstruct = pydicom.dcmread(io.BytesIO(archive.read("rtstruct.dcm")))
        assert Result.from_dict(json.loads(archive.read("result.json"))).model["digest"] == job.model
    frame = rtstruct.ReferencedFrameOfReferenceSequence[0]
    referred = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].SeriesInstanceUID
    assert referred == job.series_uid
    told = record(node, job.node_id)
    assert (told["job"], told["state"], told["sop_digest"]) == (job.id, "waiting", job.sop_digest)
    assert told["destinations"] == ["MONACO"] and len(told["organs"]) == 6


def attachments(node, series: str) -> list[str]:
    return node.get(f"/series/{series}/attachments").json()


def record(node, series: str) -> dict:
    return node.get(f"/series/{series}/attachments/4201/data").json()


FEW = slice(24, 46)  # 22 slices: enough for the checks that come before the rules' own


def other_object(folder, kind: str, modality: str, number: int) -> list:
    """A file of another modality, of the kind."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = kind, generate_uid(None), modality
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(None), generate_uid(None)
    dataset.FrameOfReferenceUID, dataset.InstanceNumber = generate_uid(None), 1
    dataset.Rows = dataset.Columns = 8
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelData = 15, bytes(128)
    for keyword, value in identity(number).items():
        setattr(dataset, keyword, value)
    folder.mkdir()
    return [save(dataset, folder / "object.dcm")]


def test_what_is_no_planning_ct_is_held_with_the_reason(make_node, serve, look, tmp_path):
    rules = {"body_part_patterns": ["head", "neck"], "description_patterns": ["^HN "]}
    node = make_node(rules=rules, worker=QUICK)
    head = small_head()
    cases = {
        "its modality is MR": other_object(tmp_path / "mr", MRImageStorage, "MR", 1),
        "its modality is RTDOSE": other_object(tmp_path / "dose", RTDoseStorage, "RTDOSE", 2),
        "its modality is OT": other_object(tmp_path / "sc", SecondaryCaptureImageStorage, "OT", 3),
        "secondary captures": write_head(tmp_path / "ctsc", 4, slice(0, 3), SOPClassUID=SecondaryCaptureImageStorage),
        "has only 5 slices": write_ct_series(tmp_path / "scout", head[:5], HEAD_SPACING, patient=identity(5)),
        "is a localizer": write_ct_series(
            tmp_path / "loc",
            head[:5],
            HEAD_SPACING,
            patient=identity(6),
            tags={"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        ),
        "22 slices: at least 40": write_head(tmp_path / "few", 7, FEW, SeriesDescription=""),
        "covers 90 mm along": write_ct_series(
            tmp_path / "short", head[:45], (8, 8, 2), patient=identity(8), tags={"SeriesDescription": "HN plan"}
        ),
        "field of view is 192 mm": write_ct_series(
            tmp_path / "narrow",
            head[24:, 20:44, 8:56],
            HEAD_SPACING,
            patient=identity(9),
            tags={"BodyPartExamined": "NECK"},
        ),
        "4 images are missing: 26 were announced, 22 arrived": write_head(
            tmp_path / "announced", 10, FEW, BodyPartExamined="HEAD", ImagesInAcquisition=26
        ),
        "description matches none": write_head(tmp_path / "other", 11, FEW),
        "body part and description match none": write_head(tmp_path / "pelvis", 12, FEW, BodyPartExamined="PELVIS"),
    }
    gap = write_head(tmp_path / "gap", 13, FEW, BodyPartExamined="HEAD")
    cases["slice is missing"] = gap[:12] + gap[13:]
    coronal = (1, 0, 0, 0, 0, -1)
    cases["is a coronal reformat"] = write_ct_series(
        tmp_path / "coronal", head_phantom((22, 64, 64)), orientation=coronal, patient=identity(14)
    )
    expected = {}
    for reason, files in cases.items():
        expected[str(pydicom.dcmread(files[0]).SeriesInstanceUID)] = reason
        arrived(node, files)
    worker = serve(node.config)
    jobs = look(node).until_settled(len(cases), worker)
    assert len(jobs) == len(cases)
    for job in jobs:
        assert job.state == "held" and expected[job.series_uid] in job.reason, (expected[job.series_uid], job)
        assert record(node, job.node_id)["reason"] == job.reason
        assert "Secret" not in job.reason and job.attempts == 0


def test_a_series_is_done_once_also_after_a_restart_and_anew_by_another_model(make_node, serve, look, tmp_path):
    node = make_node(worker=QUICK)
    files = write_head(tmp_path / "a")
    arrived(node, files)
    first = serve(node.config)
    table = look(node)
    (job,) = table.until_settled(1, first)
    assert job.state == "waiting"
    arrived(node, files[:10])  # sent again
    first.stop()
    second = serve(node.config, "second")
    arrived(node, write_head(tmp_path / "b", 2))
    jobs = table.until_settled(2, second)
    assert [(row.state, row.attempts) for row in jobs] == [("waiting", 1), ("waiting", 1)]
    assert jobs[0].id == job.id and jobs[0].updated == job.updated
    second.stop()
    node.config.write_text(node.config.read_text().replace(str(QUICK["model"]), ""))
    third = serve(node.config, "third")
    jobs = table.until_settled(4, third)
    states = {(row.model == job.model, str(row.state)) for row in jobs}
    assert states == {(True, "superseded"), (False, "waiting")}
    assert {organ["name"] for organ in record(node, job.node_id)["organs"]} >= {"Brainstem"}


def test_several_models_make_one_result_and_another_choice_does_it_anew(make_node, serve, look, tmp_path, capsys):
    added = models.add(model(tmp_path / "added", organs=("Bone_Mandible",), name="added-bones"))
    node = make_node(worker={**QUICK, "model": ["added-bones", str(TWO_ORGANS)]})
    arrived(node, write_head(tmp_path / "a"))
    first, table = serve(node.config), look(node)
    (job,) = table.until_settled(1, first)
    first.stop()
    assert job.state == "waiting"
    told = record(node, job.node_id)
    assert [one["name"] for one in told["models"]] == ["added-bones", "two-organs-test"]
    drawn = {organ["name"]: organ["model"] for organ in told["organs"]}
    assert drawn == {"Bone_Mandible": "added-bones 1", "Brain": "two-organs-test 1"}
    lines = [json.loads(line) for line in (node.settings.worker.folder / "audit.jsonl").read_text().splitlines()]
    assert lines[0]["model"] == job.model
    (said,) = [line["models"] for line in lines if "models" in line]
    assert said.startswith(f"added-bones 1 {added.digest}; two-organs-test 1 sha256:")
    capsys.readouterr()
    assert main(["queue", "list", "--long", "--config", str(node.config)]) == 0
    assert f"added-bones 1 {added.digest}; two-organs-test 1 sha256:" in capsys.readouterr().out
    node.config.write_text(node.config.read_text().replace(f', "{TWO_ORGANS}"', ""))
    second = serve(node.config, "second")
    jobs = table.until_settled(2, second)
    assert {(row.model == added.digest, str(row.state)) for row in jobs} == {(False, "superseded"), (True, "waiting")}
    assert "two-organs-test" not in json.dumps(record(node, job.node_id))


@pytest.mark.parametrize(
    ("choice", "said"), [("gone", "There is no model 'gone'"), ("added-bones", "added-bones@1 cannot be used")]
)
def test_a_worker_whose_model_is_not_there_or_damaged_says_so_and_ends(make_node, tmp_path, choice, said):
    folder = models.add(model(tmp_path / "added", name="added-bones")).folder
    (folder / "organs.json").unlink()
    node = make_node(worker={**QUICK, "model": choice})
    worker = Serving(node.config)
    assert worker.process.wait(120) in (1, 64) and said in worker.log.read_text()


@pytest.mark.parametrize("state", ["waiting", "segmenting"])
def test_a_series_that_grows_is_done_anew_and_the_older_result_superseded(quick_node, serve, look, tmp_path, state):
    files = write_head(tmp_path / "a")
    arrived(quick_node, files[:40])
    worker, table = serve(quick_node.config), look(quick_node)
    table.until(lambda: table.states() == [state], worker)
    arrived(quick_node, files[40:])
    older, newer = table.until_settled(2, worker)
    assert (older.state, older.superseded_by) == ("superseded", newer.id) and newer.state == "waiting"
    assert record(quick_node, newer.node_id)["job"] == newer.id
    with zipfile.ZipFile(
        io.BytesIO(quick_node.get(f"/series/{newer.node_id}/attachments/4200/data").content)
    ) as archive:
        rtstruct = pydicom.dcmread(io.BytesIO(archive.read("rtstruct.dcm")))
    referred = rtstruct.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    assert len(referred.ContourImageSequence) == len(files)


def test_a_missing_slice_that_comes_later_frees_the_series(quick_node, serve, look, tmp_path):
    files = write_head(tmp_path / "a")
    arrived(quick_node, files[:20] + files[21:])
    worker, table = serve(quick_node.config), look(quick_node)
    (held,) = table.until_settled(1, worker)
    assert held.state == "held" and "missing" in held.reason
    arrived(quick_node, files[20:21])
    held, done = table.until_settled(2, worker)
    assert (held.state, done.state) == ("superseded", "waiting")


def test_a_series_deleted_and_sent_again_gets_its_result_again(quick_node, serve, look, tmp_path):
    files = write_head(tmp_path / "a")
    arrived(quick_node, files)
    worker, table = serve(quick_node.config), look(quick_node)
    (job,) = table.until_settled(1, worker)
    with Node(quick_node.settings.node) as client:
        client.delete_series(job.node_id)
    table.until(lambda: table.states() == ["failed"], worker)
    assert "deleted" in table.jobs()[0].reason
    arrived(quick_node, files)
    table.until(lambda: table.states() == ["waiting"], worker)
    assert "4200" in attachments(quick_node, job.node_id)


def test_single_images_that_cannot_be_used_hold_the_series_when_it_is_read(quick_node, serve, look, tmp_path):
    files = write_head(tmp_path / "a")
    edit(files[7], RescaleSlope=None)
    arrived(quick_node, files)
    worker, table = serve(quick_node.config), look(quick_node)
    (job,) = table.until_settled(1, worker)
    assert job.state == "held" and "Rescale Slope" in job.reason
    assert str(quick_node.config.parent) not in job.reason and "Secret" not in job.reason


def test_the_queue_command_lists_and_tries_again(quick_node, serve, look, tmp_path, capsys):
    head = np.where(small_head() > -300, 40, -1000).astype(np.int16)
    arrived(quick_node, write_ct_series(tmp_path / "few", head[:30], HEAD_SPACING, patient=identity(1)))
    worker, table = serve(quick_node.config), look(quick_node)
    (job,) = table.until_settled(1, worker)
    options = ["--config", str(quick_node.config)]
    assert main(["queue", "list", *options, "--json", "--state", "held"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["jobs"]
    assert (told["id"], told["state"], told["deliveries"]) == (job.id, "held", []) and "30 slices" in told["reason"]
    assert main(["queue", "list", *options, "--state", "sent", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["jobs"] == []
    assert main(["queue", "list", *options, "--state", "lost"]) == 64
    assert main(["queue", "retry", "zzzz", *options]) == 64
    worker.stop()
    quick_node.config.write_text(
        quick_node.config.read_text() + "\n[rules]\nminimum_slices = 20\nminimum_coverage_mm = 100\n"
    )
    assert main(["queue", "retry", job.id[:6], *options]) == 0
    assert main(["queue", "retry", *options]) == 0, "a held job is not among those that failed"
    again = serve(quick_node.config, "again")
    table.until(lambda: table.states() == ["waiting"], again)
    capsys.readouterr()
    assert main(["queue", "retry", job.id, *options]) == 64
    assert "nothing of it failed" in capsys.readouterr().err
