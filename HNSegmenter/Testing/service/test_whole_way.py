"""From the scanner to the planning system with real programs alone:
storescu, Orthanc, worker, review by script, storescp.

The node of this test has its query and retrieve opened and Orthanc's DICOMweb plugin loaded, so that what cannot be
found before the approval is not there to be found; as configured it would not even answer.
"""

from __future__ import annotations

import json
import subprocess
import zipfile
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from HNSegmenterLib.sample.series import MadeUp, write_series
from HNSegmenterLib.sample.volume import sample_volume
from HNSegmenterLib.service.node.client import RESULTS, Node
from Testing.machine import DATA, free_port, require, require_program
from Testing.phantoms import edit
from Testing.rtstruct.help import dciodvfy_complaints
from Testing.service.fixtures import OrthancNode, make_node, planning_system, send
from Testing.service.review_help import REVIEWER, STORED, command_line
from Testing.service.worker_process import WorkerProcess, audit, written

DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
VALIDATION = DATA / "openkbp" / "validation"
ASKER = "ASKER"
WHO = MadeUp("TEST^WholeWay", "TESTID-4711", "TESTSTUDY", "TESTSERIES", "Made up: no real person", "whole way")
SECRETS = ("WholeWay", "TESTID-4711", "19370401", "ACC-0815", "TESTSTUDY", "TESTSERIES")


@pytest.fixture(params=["sample", "validation"])
def ct(request, tmp_path) -> Path:
    """A CT series: the bundled sample patient, and a clinical CT where those are at hand."""
    if request.param == "sample":
        image = sample_volume(0)[0]
    elif not VALIDATION.is_dir():
        pytest.skip("real CTs are not on this machine (HNSEG_DATA)")
    else:
        image = sitk.ReadImage(str(min(VALIDATION.iterdir()) / "data.nii.gz"), sitk.sitkInt16)
    folder = write_series(image, tmp_path / "scanner", WHO)
    for path in folder.iterdir():
        edit(path, PatientBirthDate="19370401", AccessionNumber="ACC-0815")
    return folder


@pytest.fixture
def open_node(make_node, planning_system) -> OrthancNode:
    """As configured, but with everything opened for ASKER, and DICOMweb."""
    require(DICOMWEB.exists(), f"the plugin {DICOMWEB} (Debian package orthanc-dicomweb)")
    node = make_node(planning_port=planning_system.port)
    node.stop()
    values = json.loads(node.orthanc_json.read_text())
    node.asker_port = free_port()
    may = {f"Allow{what}": True for what in ("Echo", "Find", "Get", "Move")}
    values["DicomModalities"]["asker"] = {"AET": ASKER, "Host": "127.0.0.1", "Port": node.asker_port, **may}
    values |= {"Plugins": [str(DICOMWEB)], "DicomWeb": {"Enable": True, "EnableWado": True}}
    node.orthanc_json.write_text(json.dumps(values))
    node.start()
    return node


@pytest.fixture
def worker(open_node, tmp_path):
    process = WorkerProcess(open_node, tmp_path / "worker.log")
    yield process
    process.stop()


def ask(program: str, node: OrthancNode, folder: Path, *options: str, **keys: str) -> list[pydicom.Dataset]:
    """What findscu, movescu or getscu brings back for the keys, from the node."""
    folder.mkdir()
    wanted = [word for name, value in keys.items() for word in ("-k", f"{name}={value}")]
    command = [
        require_program(program),
        "-S",
        "-aet",
        ASKER,
        "-aec",
        "HNSEG",
        *wanted,
        *options,
        "127.0.0.1",
        str(node.port),
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return [pydicom.dcmread(path, force=True) for path in sorted(folder.iterdir())]


def only_images_are_found(node: OrthancNode, study: str, images: set[str], hidden: str, folder: Path) -> None:
    """By C-FIND, C-MOVE, C-GET, QIDO-RS, WADO-RS and WADO-URI; hidden: SOP Instance UID of the result's RTSTRUCT."""
    folder.mkdir()
    level = {"QueryRetrieveLevel": "SERIES", "StudyInstanceUID": study, "SeriesInstanceUID": "", "Modality": ""}
    assert [found.Modality for found in ask("findscu", node, folder / "find", "-X", **level)] == ["CT"]
    assert ask("findscu", node, folder / "find2", "-X", **{**level, "Modality": "RTSTRUCT"}) == []
    one = {"QueryRetrieveLevel": "IMAGE", "SOPInstanceUID": hidden}
    assert ask("findscu", node, folder / "find3", "-X", **one) == []
    whole = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": study}
    moved = ask("movescu", node, folder / "move", "-aem", ASKER, "+P", str(node.asker_port), **whole)
    got = ask("getscu", node, folder / "get", **whole)
    for brought in (moved, got):
        assert {dataset.SOPInstanceUID for dataset in brought} == images
    series = node.get(f"/dicom-web/studies/{study}/series").json()
    assert [item["00080060"]["Value"] for item in series] == [["CT"]]
    assert node.get("/dicom-web/series?Modality=RTSTRUCT").json() == []
    instances = node.get(f"/dicom-web/studies/{study}/instances").json()
    assert {item["00080018"]["Value"][0] for item in instances} == images
    (series_uid,) = series[0]["0020000E"]["Value"]
    image = min(images)
    assert wado(node, study, series_uid, image).status_code == 200
    assert wado(node, study, series_uid, hidden).status_code == 404


def wado(node: OrthancNode, study: str, series: str, instance: str) -> httpx.Response:
    where = f"requestType=WADO&studyUID={study}&seriesUID={series}&objectUID={instance}"
    return node.get(f"/wado?{where}&contentType=application/dicom")


def result_of(node: OrthancNode) -> pydicom.Dataset:
    with Node(node.settings.node) as rest:
        content = rest.attachment(rest.all_series()[0], RESULTS)
    with zipfile.ZipFile(BytesIO(content)) as archive:
        return pydicom.dcmread(BytesIO(archive.read("rtstruct.dcm")))


def test_a_ct_sent_and_a_review_by_script_are_all_it_takes(ct, open_node, worker, planning_system, tmp_path):
    slices = [pydicom.dcmread(path, stop_before_pixels=True) for path in ct.iterdir()]
    images = {dataset.SOPInstanceUID: float(dataset.ImagePositionPatient[2]) for dataset in slices}
    sent = send(sorted(ct.iterdir()), open_node.port)
    assert sent.returncode == 0, sent.stderr
    worker.wait_state("waiting")
    found = result_of(open_node)
    only_images_are_found(open_node, slices[0].StudyInstanceUID, set(images), found.SOPInstanceUID, tmp_path / "asked")
    assert planning_system.received() == []

    (series,) = open_node.series()
    out = tmp_path / "reviewed"
    config = ("--config", open_node.config)
    fetched = command_line("inbox", "fetch", series, "--out", out, *config)
    assert fetched.returncode == 0, fetched.stderr
    given = ("--reviewer", REVIEWER, "--rtstruct", out / "results" / "rtstruct.dcm")
    approved = command_line("inbox", "approve", series, *given, "--json", *config)
    assert approved.returncode == 0, approved.stderr
    record = worker.wait_state("sent")

    (file,) = planning_system.received()
    assert dciodvfy_complaints(file) == []
    dataset = pydicom.dcmread(file)
    assert dataset.SOPClassUID == STORED and dataset.ApprovalStatus == "UNAPPROVED"
    assert dataset.SOPInstanceUID == record["deliveries"][0]["sop_instance_uid"] != found.SOPInstanceUID
    assert dataset.SOPInstanceUID == json.loads(approved.stdout.splitlines()[-1])["review"]["sop_instance_uid"]
    assert dataset.StructureSetDescription.startswith(f"Reviewed by {REVIEWER}")
    refers_to(dataset, slices, images)
    organs = [organ["name"] for organ in record["organs"] if organ["found"]]
    assert [item.ROIName for item in dataset.StructureSetROISequence] == organs and len(organs) >= 3
    only_images_are_found(
        open_node, slices[0].StudyInstanceUID, set(images), dataset.SOPInstanceUID, tmp_path / "asked after"
    )
    assert audit(open_node)[-1]["state"] == "sent"
    told = written(open_node.config.parent) + worker.log.read_text() + open_node.log.read_text(errors="replace")
    assert slices[0].SeriesInstanceUID in told
    for secret in (*SECRETS, str(ct), open_node.settings.node.password()):
        assert secret not in told, secret


def refers_to(dataset: pydicom.Dataset, slices: list[pydicom.Dataset], images: dict[str, float]) -> None:
    """The RTSTRUCT names the CT that the scanner sent: study, frame, series, every slice, each contour on its own."""
    first = slices[0]
    assert (dataset.PatientID, dataset.StudyInstanceUID) == (first.PatientID, first.StudyInstanceUID)
    assert dataset.FrameOfReferenceUID == first.FrameOfReferenceUID
    (frame,) = dataset.ReferencedFrameOfReferenceSequence
    (series,) = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence
    assert series.SeriesInstanceUID == first.SeriesInstanceUID
    assert {item.ReferencedSOPInstanceUID for item in series.ContourImageSequence} == set(images)
    for roi in dataset.ROIContourSequence:
        for contour in roi.ContourSequence:
            heights = np.array(contour.ContourData, float).reshape(-1, 3)[:, 2]
            assert np.allclose(heights, images[contour.ContourImageSequence[0].ReferencedSOPInstanceUID], atol=0.01)
