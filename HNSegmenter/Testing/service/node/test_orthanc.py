"""What the node lets in and what not: every default of Orthanc that we shut, tried by real DICOM and HTTP peers."""

from __future__ import annotations

import re
import subprocess

import httpx
import pydicom
import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.sop_class import (
    CTImageStorage,
    ModalityWorklistInformationFind,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from Testing.machine import free_port, require, require_program, wait_for
from Testing.phantoms import edit, head_phantom, write_ct_series
from Testing.service.fixtures import MONACO, NODE, SCANNER, make_node, node, planning_system, send

SUCCESS = 0x0000
STRANGER = "STRANGER"


@pytest.fixture
def ct(tmp_path):
    return write_ct_series(tmp_path / "ct", head_phantom((4, 16, 16)))


def ask(
    node, calling: str, context: str, request, called: str = NODE, host: str = "127.0.0.1", source: str | None = None
):
    """What request(association) returns from an association of `calling`; None where the node lets none come about."""
    peer = AE(calling)
    peer.add_requested_context(context)
    association = peer.associate(host, node.port, ae_title=called, bind_address=(source, 0) if source else ("", 0))
    if not association.is_established:
        return None
    try:
        return request(association)
    finally:
        association.release()


def echo(node, calling: str, **where) -> int | None:
    return ask(node, calling, Verification, lambda association: association.send_c_echo().get("Status"), **where)


def everything() -> Dataset:
    wanted = Dataset()
    wanted.QueryRetrieveLevel, wanted.StudyInstanceUID, wanted.PatientName = "STUDY", "", "*"
    return wanted


def answers(node, calling: str, model: str, how: str, *more) -> list[int]:
    """The statuses of a C-FIND, C-GET or C-MOVE for everything; [] where the node does not even talk."""

    def request(association):
        if not association.accepted_contexts:
            return []
        try:
            replies = getattr(association, how)(everything(), *more, query_model=model)
            return [status.get("Status", -1) for status, _ in replies]
        except ValueError:  # the node took no context of this kind
            return []

    return ask(node, calling, model, request) or []


def test_a_known_scanner_may_store_and_echo(node, ct):
    assert send(ct, node.port).returncode == 0
    assert len(node.instances()) == len(ct)
    assert echo(node, SCANNER) == SUCCESS


def test_an_unknown_calling_ae_may_not_store(node, ct):
    refused = send(ct, node.port, calling=STRANGER)
    assert refused.returncode != 0 and "Calling AE Title Not Recognized" in refused.stderr
    assert node.instances() == []
    assert STRANGER in node.log.read_text()


def test_an_unknown_calling_ae_may_not_even_echo(node):
    assert echo(node, STRANGER) is None


def test_the_wrong_called_ae_is_refused(node, ct):
    refused = send(ct, node.port, called="ORTHANC")
    assert refused.returncode != 0 and "Called AE Title Not Recognized" in refused.stderr
    assert echo(node, SCANNER, called="ANY-SCP") is None
    assert node.instances() == []


def test_a_known_ae_title_from_another_host_is_refused(make_node, ct):
    node = make_node(scanners={SCANNER: {"ae_title": SCANNER, "host": "127.0.0.2"}})
    assert send(ct, node.port).returncode != 0  # storescu calls from 127.0.0.1
    assert echo(node, SCANNER) is None
    assert node.instances() == []
    assert echo(node, SCANNER, source="127.0.0.2") == SUCCESS


def test_a_host_name_in_the_configuration_becomes_its_address(make_node, ct):
    """Orthanc compares the name itself with the address that calls, and would refuse."""
    node = make_node(scanners={SCANNER: {"ae_title": SCANNER, "host": "localhost"}})
    assert send(ct, node.port).returncode == 0


def test_the_planning_system_and_a_workstation_may_echo_and_not_store(make_node, ct):
    node = make_node(workstations={"SLICER1": {"ae_title": "SLICER1", "host": "127.0.0.1"}})
    for peer in (MONACO, "SLICER1", NODE):
        assert echo(node, peer) == SUCCESS
        send(ct, node.port, calling=peer)  # its exit status is 0 where the node ends the association in the middle
        assert node.instances() == []


def test_the_nodes_own_machine_may_echo_under_debians_name_for_it(make_node):
    """/etc/hosts of Debian has the machine's own name at 127.0.1.1; a call there comes from 127.0.0.1."""
    node = make_node(node={"url": f"http://127.0.1.1:{free_port()}"})
    assert node.get("/system").status_code == 200
    assert echo(node, NODE, host="127.0.1.1") == SUCCESS


@pytest.mark.parametrize("calling", [SCANNER, MONACO, NODE, STRANGER])
def test_nobody_may_find_move_or_get(node, planning_system, ct, calling):
    assert send(ct, node.port).returncode == 0
    find, get, move = (
        StudyRootQueryRetrieveInformationModelFind,
        StudyRootQueryRetrieveInformationModelGet,
        StudyRootQueryRetrieveInformationModelMove,
    )
    tried = [
        answers(node, calling, find, "send_c_find"),
        answers(node, calling, ModalityWorklistInformationFind, "send_c_find"),
        answers(node, calling, get, "send_c_get"),
        answers(node, calling, move, "send_c_move", MONACO),
    ]
    for statuses in tried:
        assert not {SUCCESS, 0xFF00, 0xFF01} & set(statuses), statuses
    assert planning_system.received() == []


def test_without_a_password_the_rest_interface_says_nothing(node, ct):
    send(ct, node.port)
    user, password = node.auth
    for auth in (
        None,
        (user, ""),
        (user, password + "x"),
        (user, password[:-1]),
        ("orthanc", "orthanc"),
        ("", password),
    ):
        for path in ("/system", "/instances", f"/series/{node.series()[0]}/attachments", "/"):
            answer = node.get(path, auth=auth)
            assert answer.status_code == 401 and NODE not in answer.text
    assert node.get("/system").json()["DicomAet"] == NODE


def own_address() -> str:
    """An address of this machine that is not loopback, "" where it has none."""
    listed = subprocess.run(
        [require_program("ip"), "-4", "-o", "address"], capture_output=True, text=True, check=True
    ).stdout
    return next((found for found in re.findall(r"inet ([\d.]+)", listed) if not found.startswith("127.")), "")


def test_other_machines_reach_rest_only_where_the_url_is_theirs_to_use_and_then_by_password(make_node):
    address = own_address()
    require(bool(address), "a network address beside loopback")
    local = make_node("local")
    port = httpx.URL(local.url).port
    assert httpx.get(f"http://{address}:{port}/system", auth=local.auth, trust_env=False).status_code == 401

    remote = make_node("remote", node={"url": f"http://{address}:{free_port()}"})
    assert remote.get("/system").status_code == 200
    assert remote.get("/system", auth=None).status_code == 401


def test_there_is_no_second_way_in_or_out(node, ct):
    """DICOMweb, WADO, WebDAV, the web pages and Lua scripts."""
    send(ct, node.port)
    for path in ("/dicom-web/studies", "/wado", "/webdav/", "/app/explorer.html", "/ui/app/"):
        assert node.get(path).status_code == 404, path
    script = httpx.post(node.url + "/tools/execute-script", content="print(1)", auth=node.auth, trust_env=False)
    assert script.status_code == 403
    assert node.get("/plugins").json() == ["explorer.js"]  # Orthanc's own name for "none"


def test_what_was_received_is_not_overwritten(node, ct):
    send(ct, node.port)
    edit(ct[0], SeriesDescription="changed later")
    assert send(ct[:1], node.port).returncode == 0
    kept = {node.get(f"/instances/{name}/simplified-tags").json()["SeriesDescription"] for name in node.instances()}
    assert "changed later" not in kept and len(kept) == 1


def test_of_two_attachments_at_once_one_is_refused(node, ct):
    send(ct, node.port)
    path = f"{node.url}/series/{node.series()[0]}/attachments/4202"
    put = {"auth": node.auth, "trust_env": False}
    assert httpx.put(path, content=b"one", **put).status_code == 200
    assert httpx.put(path, content=b"two", **put).status_code == 409
    assert node.get(f"/series/{node.series()[0]}/attachments/4202/data").content == b"one"


def test_a_series_becomes_stable_when_the_configuration_says(node, ct):
    send(ct, node.port)
    wait_for(lambda: "StableSeries" in {item["ChangeType"] for item in node.get("/changes").json()["Changes"]})


def test_a_restart_and_a_power_cut_lose_nothing(node, ct):
    send(ct, node.port)
    for end in (node.stop, node.kill):
        end()
        node.start()
        assert len(node.instances()) == len(ct)


def test_the_nodes_log_knows_no_patient_and_no_password(node, ct):
    send(ct, node.port)
    send(ct, node.port, calling=STRANGER)
    answers(node, SCANNER, StudyRootQueryRetrieveInformationModelFind, "send_c_find")
    node.get("/system", auth=(node.auth[0], "wrong password"))
    patient = pydicom.dcmread(ct[0])
    log = node.log.read_text()
    for secret in (
        str(patient.PatientName),
        patient.PatientID,
        patient.PatientBirthDate,
        node.auth[1],
        "wrong password",
    ):
        assert secret and secret not in log
    assert patient.SOPClassUID == CTImageStorage
