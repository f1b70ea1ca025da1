"""Connections to real DICOM peers: each light, each answer to a structure set, in clear and by TLS."""

from __future__ import annotations

import logging
import socket
import threading
from types import SimpleNamespace

import pydicom
import pytest
from pynetdicom import AE, evt

from HNSegmenterLib.rtstruct import write_rtstruct
from HNSegmenterLib.service.peers.connections import DeliveryFault, answer_of, echo, store
from HNSegmenterLib.service.peers.peer import Peer
from Testing.machine import free_port, require_program
from Testing.rtstruct.help import dciodvfy_complaints, head_organs, make_ct, result
from Testing.service.fixtures import PlanningSystem, Program, listens, make_node, node, planning_system
from Testing.service.review_help import SHAPE, SPACING, make_certificates

OURS = "HNSEG"


@pytest.fixture(scope="module")
def rtstruct(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rtstruct")
    ct = make_ct(folder / "ct", SHAPE, SPACING)
    return pydicom.dcmread(write_rtstruct(ct, head_organs(ct), result(), folder / "rtstruct.dcm").path)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("tls") / "certificates")


@pytest.fixture
def peer_with(tmp_path):
    """Starts a storescp with options, and gives it as a Peer; storescp itself is at .system of what is yielded."""
    started = []

    def make(*options: str, tls: bool = False) -> Peer:
        system = PlanningSystem(tmp_path / f"peer{len(started)}", options=options)
        started.append(system)
        system.start()
        make.system = system
        return Peer("Monaco", "MONACO", "127.0.0.1", system.port, tls)

    yield make
    for system in started:
        system.stop()


@pytest.fixture
def archive(tmp_path):
    """dcmqrscp, which knows HNSEG and answers to MONACO only."""
    port = free_port()
    (tmp_path / "db").mkdir()
    lines = [f"NetworkTCPPort = {port}", "MaxPDUSize = 16384", "MaxAssociations = 4"]
    lines += [
        "HostTable BEGIN",
        "us = (HNSEG, localhost, 11112)",
        "HostTable END",
        "VendorTable BEGIN",
        "VendorTable END",
    ]
    lines += ["AETable BEGIN", f"MONACO {tmp_path / 'db'} RW (9, 100mb) us", "AETable END"]
    (tmp_path / "qr.cfg").write_text("\n".join(lines) + "\n")
    command = [require_program("dcmqrscp"), "-c", str(tmp_path / "qr.cfg")]
    program = Program(command, tmp_path / "qr.log", lambda: listens(port), tmp_path)
    program.start()
    yield lambda title="MONACO": Peer("Monaco", title, "127.0.0.1", port)
    program.stop()


def tls_files(folder, name="us", ca="ca"):
    return SimpleNamespace(certificate=folder / f"{name}.pem", key=folder / f"{name}.key", ca=folder / f"{ca}.pem")


def storescp_tls(folder) -> list[str]:
    return ["+tls", str(folder / "peer.key"), str(folder / "peer.pem"), "+cf", str(folder / "ca.pem")]


def test_a_peer_that_answers_is_green(peer_with):
    light = echo(peer_with(), OURS)
    assert light.ok and light.name == "Monaco" and light.sentence == "Monaco answers HNSEG."
    assert light.address.startswith("MONACO@127.0.0.1:")


def red(peer: Peer, *words: str, calling: str = OURS, tls=None, timeout_s: float = 3) -> None:
    light = echo(peer, calling, tls, timeout_s)
    assert not light.ok
    assert light.sentence.startswith(peer.name)
    for word in words:
        assert word in light.sentence, light.sentence


def test_a_closed_port_is_said():
    port = free_port()
    red(Peer("Monaco", "MONACO", "127.0.0.1", port), f"port {port} of 127.0.0.1 is closed")


def test_an_unknown_name_is_said():
    red(Peer("Monaco", "MONACO", "planning.invalid", 104), "the name planning.invalid is unknown")


def test_silence_is_said():
    with socket.create_server(("127.0.0.1", 0)) as server:
        red(
            Peer("Monaco", "MONACO", *server.getsockname()),
            "takes the connection but gives no answer within 1 s",
            timeout_s=1,
        )


def test_an_address_that_swallows_everything_is_said():
    """A full backlog: the system drops further connections, as a firewall does."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as server,
        socket.socket() as first,
        socket.socket() as second,
    ):
        for client in (first, second):
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        red(Peer("Monaco", "MONACO", *server.getsockname()), "no answer from 127.0.0.1", "firewall", timeout_s=1)


def test_another_program_on_the_port_is_said():
    def hang_up(server):
        try:
            while True:
                server.accept()[0].close()
        except OSError:
            pass

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=hang_up, args=(server,), daemon=True).start()
        red(Peer("Monaco", "MONACO", *server.getsockname()), "another program than DICOM", "address is not allowed")
        server.shutdown(socket.SHUT_RDWR)


def test_a_refusal_without_reason_names_what_it_may_be(peer_with):
    red(peer_with("--refuse"), "gives no reason", "our AE title HNSEG", "not MONACO")


def test_a_refusal_is_heard_though_all_is_over_before_we_listen(peer_with, monkeypatch):
    """As on a busy computer: pynetdicom's own thread has the refusal and has closed before ours runs again."""
    over, associate = threading.Event(), AE.associate

    def late(*args, evt_handlers, **options):
        slow = [(evt.EVT_CONN_CLOSE, lambda event: over.set()), (evt.EVT_REQUESTED, lambda event: over.wait(10))]
        return associate(*args, evt_handlers=evt_handlers + slow, **options)

    monkeypatch.setattr(AE, "associate", late)
    red(peer_with("--refuse"), "gives no reason", timeout_s=20)
    assert over.is_set()


def test_the_called_title_is_said_where_the_peer_has_another(archive):
    assert echo(archive(), OURS).ok
    red(archive("PINNACLE"), "does not answer to the AE title PINNACLE: correct ae_title of Monaco")


def test_our_title_is_said_where_the_node_does_not_know_it(node):
    peer = Peer("node", "HNSEG", "127.0.0.1", node.port)
    assert echo(peer, OURS).ok
    red(peer, "refuses our AE title STRANGER: have it entered there", calling="STRANGER")
    red(Peer("node", "WRONG", "127.0.0.1", node.port), "does not answer to the AE title WRONG")


def test_a_structure_set_is_stored_by_the_peers_own_word(peer_with, rtstruct):
    answer = store(rtstruct, peer_with(), OURS)
    assert (answer.status, answer.warning) == (0, "")
    (file,) = peer_with.system.received()
    received = pydicom.dcmread(file)
    assert received == rtstruct
    assert received.file_meta.SourceApplicationEntityTitle == OURS
    assert dciodvfy_complaints(file) == []


def test_a_peer_of_implicit_vr_only_gets_it_too(peer_with, rtstruct):
    assert store(rtstruct, peer_with("+xi"), OURS).status == 0
    (file,) = peer_with.system.received()
    received = pydicom.dcmread(file)
    assert received.file_meta.TransferSyntaxUID == pydicom.uid.ImplicitVRLittleEndian
    assert received.SOPInstanceUID == rtstruct.SOPInstanceUID
    assert dciodvfy_complaints(file) == []


@pytest.mark.parametrize("option", ["--abort-after", "--abort-during"])
def test_a_peer_that_breaks_off_has_not_got_it(peer_with, rtstruct, option):
    with pytest.raises(DeliveryFault, match="broke") as caught:
        store(rtstruct, peer_with(option), OURS)
    assert not caught.value.final


def test_a_full_disk_at_the_peer_is_tried_again(tmp_path, peer_with, rtstruct):
    peer = peer_with()
    peer_with.system.inbox.rmdir()  # storescp answers 0xA700, out of resources
    with pytest.raises(DeliveryFault, match=r"out of resources \(0xA7") as caught:
        store(rtstruct, peer, OURS)
    assert not caught.value.final
    peer_with.system.inbox.mkdir()
    assert store(rtstruct, peer, OURS).status == 0


def test_a_peer_that_takes_no_structure_sets_says_so(node, rtstruct):
    """The node lets our own title echo, and nothing else."""
    with pytest.raises(DeliveryFault, match="node"):
        store(rtstruct, Peer("node", "HNSEG", "127.0.0.1", node.port), OURS)
    assert node.instances() == []


@pytest.mark.parametrize("status", [0x0001, 0xB000, 0xB006, 0xB007])
def test_a_warning_is_stored_and_kept(status):
    answer = answer_of(status, Peer("Monaco", "MONACO", "127.0.0.1", 104))
    assert f"0x{status:04X}" in answer.warning


def test_a_duplicate_is_what_we_sent_before():
    assert "has it already" in answer_of(0x0111, Peer("Monaco", "MONACO", "127.0.0.1", 104)).sentence


FAILURES = [(0xA700, False), (0xA900, True), (0xC123, True), (0x0122, True), (0x0110, False), (None, False)]


@pytest.mark.parametrize(("status", "final"), FAILURES)
def test_a_failure_is_final_where_a_repeat_cannot_mend_it(status, final):
    with pytest.raises(DeliveryFault, match="Monaco") as caught:
        answer_of(status, Peer("Monaco", "MONACO", "127.0.0.1", 104))
    assert caught.value.final == final


def test_tls_both_ways(peer_with, certificates, rtstruct):
    peer = peer_with(*storescp_tls(certificates), tls=True)
    ours = tls_files(certificates)
    assert echo(peer, OURS, ours).ok
    assert store(rtstruct, peer, OURS, ours).status == 0
    red(peer, "refuses our TLS certificate", tls=tls_files(certificates, "other"))
    red(peer, "its certificate is not trusted", tls=tls_files(certificates, ca="otherca"))
    red(peer, "is set to TLS, but [tls] names no certificate")
    in_clear = Peer(peer.name, peer.ae_title, peer.host, peer.port)
    red(in_clear, "expects TLS", "set tls = true")


def test_tls_files_that_do_not_fit_are_said(peer_with, certificates):
    peer = Peer("Monaco", "MONACO", "127.0.0.1", free_port(), tls=True)
    mixed = SimpleNamespace(
        certificate=certificates / "us.pem", key=certificates / "peer.key", ca=certificates / "ca.pem"
    )
    light = echo(peer, OURS, mixed)
    assert not light.ok and "The files of [tls] cannot be used" in light.sentence


def test_a_peer_without_tls_is_said(peer_with, certificates):
    peer = peer_with()
    red(Peer(peer.name, peer.ae_title, peer.host, peer.port, tls=True), "speaks no TLS", tls=tls_files(certificates))


def test_nothing_of_the_patient_or_the_network_is_logged(peer_with, rtstruct, certificates, caplog, capfd):
    with caplog.at_level(logging.DEBUG):
        store(rtstruct, peer_with(), OURS)
        echo(Peer("Monaco", "MONACO", "127.0.0.1", free_port()), OURS)
        echo(Peer("Monaco", "MONACO", "127.0.0.1", peer_with.system.port, tls=True), OURS, tls_files(certificates))
    shown = capfd.readouterr()
    for text in (caplog.text, shown.out, shown.err):
        assert "Phantom" not in text and "TEST-0001" not in text and "Traceback" not in text
