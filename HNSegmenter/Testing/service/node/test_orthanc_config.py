"""orthanc.json from service.toml: passwords, hosts and certificates that are refused, and encryption that works."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat

import httpx
import pytest

from HNSegmenterLib.cli.main import main
from HNSegmenterLib.errors import WrongUsage
from HNSegmenterLib.service.node.client import Node
from HNSegmenterLib.service.node.orthanc_config import peers, write
from HNSegmenterLib.service.peers.calling import address_towards, of_address
from HNSegmenterLib.service.settings import PASSWORD_VARIABLE, load
from Testing.machine import free_port, require
from Testing.phantoms import head_phantom, write_ct_series
from Testing.runtimes.docker.daemon import make_certificates
from Testing.service.fixtures import SCANNER, PlanningSystem, make_node, send, trusting, write_service_toml
from Testing.service.review_help import make_certificates as dicom_tls_certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """ca.pem; server-cert.pem and server-key.pem for 127.0.0.1; cert.pem and key.pem of a client."""
    require(shutil.which("openssl") is not None, "the program openssl")
    return make_certificates(tmp_path_factory.mktemp("certificates") / "pem")


@pytest.fixture(scope="module")
def strangers(tmp_path_factory):
    """The same of another authority."""
    return make_certificates(tmp_path_factory.mktemp("strangers") / "pem")


@pytest.fixture
def ct(tmp_path):
    return write_ct_series(tmp_path / "ct", head_phantom((3, 16, 16)))


def set_password(config, password: str) -> None:
    (config.parent / "node-password").write_text(password + "\n")


def refusal(config) -> str:
    """The sentence of what cannot be configured; nothing may have been written."""
    with pytest.raises(WrongUsage) as refused:
        write(load(config), config.parent / "orthanc.json")
    assert sorted(path.name for path in config.parent.iterdir()) == ["node-password", "service.toml"]
    return refused.value.sentence


def test_the_command_writes_a_file_for_one_user_and_shows_no_password(tmp_path, capsys):
    config = write_service_toml(tmp_path / "site")
    out = tmp_path / "orthanc.json"
    assert (
        main(
            [
                "node",
                "configure",
                "--config",
                str(config),
                "--out",
                str(out),
                "--storage",
                str(tmp_path / "dicom"),
                "--json",
            ]
        )
        == 0
    )
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    values = json.loads(out.read_text())
    assert values["StorageDirectory"] == str(tmp_path / "dicom")
    password = load(config).node.password()
    assert values["RegisteredUsers"] == {"hnsegmenter": password}
    said = capsys.readouterr()
    assert password not in said.out + said.err
    result = json.loads(said.out.splitlines()[-1])
    assert result["remote"] is False
    assert {"ae_title": SCANNER, "address": "127.0.0.1", "may": ["Echo", "Store"]} in result["peers"]


def test_http_beyond_this_machine_and_a_node_without_a_scanner_are_warned_about(tmp_path, capsys):
    config = write_service_toml(tmp_path / "site", node={"url": "http://192.0.2.7:8042"}, scanners=None)
    assert main(["node", "configure", "--config", str(config), "--out", str(tmp_path / "orthanc.json")]) == 0
    said = capsys.readouterr().err
    assert "in clear" in said and "No scanner" in said
    assert json.loads((tmp_path / "orthanc.json").read_text())["RemoteAccessAllowed"] is True


@pytest.mark.parametrize(
    ("host", "remote"), [("localhost", False), ("127.0.1.1", False), ("192.0.2.7", True), (socket.gethostname(), True)]
)
def test_only_a_loopback_url_keeps_other_machines_out(tmp_path, host, remote):
    """The machine's own name may stand for a loopback address in its own /etc/hosts,
    and means all the same the network."""
    config = write_service_toml(tmp_path / "site", node={"url": f"http://{host}:8042"})
    write(load(config), tmp_path / "orthanc.json")
    assert json.loads((tmp_path / "orthanc.json").read_text())["RemoteAccessAllowed"] is remote


def test_a_new_file_takes_the_place_of_the_old_one_whole(tmp_path):
    config = write_service_toml(tmp_path / "site")
    out = tmp_path / "orthanc.json"
    out.write_text("old")
    out.chmod(0o644)
    write(load(config), out)
    assert json.loads(out.read_text())["DicomAet"] == "HNSEG" and stat.S_IMODE(out.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["orthanc.json", "site"]


def test_a_folder_that_is_not_there_gets_a_sentence(tmp_path, capsys):
    config = write_service_toml(tmp_path / "site")
    assert main(["node", "configure", "--config", str(config), "--out", str(tmp_path / "none" / "orthanc.json")]) == 1
    assert "--out" in capsys.readouterr().err


@pytest.mark.parametrize("password", ["orthanc", "short", "hnsegmenter", "HNSegmenter"])
def test_a_weak_password_is_refused(tmp_path, password):
    config = write_service_toml(tmp_path / "site")
    set_password(config, password)
    assert "openssl rand" in refusal(config)


def test_the_password_may_come_from_the_environment(tmp_path, monkeypatch):
    config = write_service_toml(tmp_path / "site")
    monkeypatch.setenv(PASSWORD_VARIABLE, "of the environment")
    write(load(config), tmp_path / "orthanc.json")
    assert json.loads((tmp_path / "orthanc.json").read_text())["RegisteredUsers"] == {
        "hnsegmenter": "of the environment"
    }


def test_a_password_of_awkward_characters_opens_the_node(make_node, monkeypatch):
    """Orthanc would put the variable HOME in place of ${HOME}, and end the text at a quotation mark."""
    monkeypatch.setenv(PASSWORD_VARIABLE, 'a"b\\c ${HOME} $1 :äß//')
    node = make_node()
    assert node.get("/system").status_code == 200


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"scanners": {SCANNER: {"ae_title": SCANNER, "host": "no-such-host.invalid"}}}, "no-such-host.invalid"),
        ({"node": {"url": "https://127.0.0.1:8043"}}, "no [https]"),
    ],
)
def test_what_cannot_work_is_refused(tmp_path, parts, said):
    assert said in refusal(write_service_toml(tmp_path / "site", **parts))


def test_certificates_that_are_none_or_do_not_match_are_refused(tmp_path, certificates):
    ours = {"certificate": str(certificates / "server-cert.pem"), "key": str(certificates / "server-key.pem")}
    https = {"node": {"url": "https://127.0.0.1:8043"}}
    for number, wrong in enumerate(({"key": str(certificates / "key.pem")}, {"certificate": "none.pem"})):
        assert "cannot be used together" in refusal(
            write_service_toml(tmp_path / f"https{number}", **https, https=ours | wrong)
        )
    tls = ours | {"ca": str(certificates / "server-key.pem")}
    assert "authority" in refusal(write_service_toml(tmp_path / "tls", tls=tls))
    assert "remove [https]" in refusal(write_service_toml(tmp_path / "http", https=ours))


def test_https_with_the_hospitals_authority(make_node, certificates, strangers, ct):
    node = make_node(
        node={"url": f"https://127.0.0.1:{free_port()}", "ca_file": str(certificates / "ca.pem")},
        https={
            "certificate": str(certificates / "server-cert.pem"),
            "key": str(certificates / "server-key.pem"),
            "orthanc_port": free_port(),
        },
    )
    assert node.get("/system").status_code == 200
    assert node.get("/system", auth=None).status_code == 401
    with pytest.raises(httpx.ConnectError):
        node.get("/system", verify=trusting(strangers / "ca.pem"))
    plain = httpx.get(node.url.replace("https", "http") + "/system", auth=node.auth, trust_env=False)
    assert plain.status_code == 400  # nginx says that it wants HTTPS

    assert send(ct, node.port).returncode == 0
    series = node.series()[0]
    large = os.urandom(3 << 20)
    put = httpx.put(
        f"{node.url}/series/{series}/attachments/4200",
        content=large,
        auth=node.auth,
        verify=trusting(node.settings.node.ca_file),
        trust_env=False,
    )
    assert put.status_code == 200
    assert node.get(f"/series/{series}/attachments/4200/data").content == large
    assert json.loads(node.orthanc_json.read_text())["RemoteAccessAllowed"] is False


def test_https_in_front_of_the_wrong_port_is_refused(tmp_path, certificates):
    https = {
        "certificate": str(certificates / "server-cert.pem"),
        "key": str(certificates / "server-key.pem"),
        "orthanc_port": 8043,
    }
    assert "orthanc_port" in refusal(
        write_service_toml(tmp_path / "site", node={"url": "https://127.0.0.1:8043"}, https=https)
    )


@pytest.fixture(scope="module")
def dicom_certificates(tmp_path_factory):
    """Of one authority, ca.pem: us and peer, for both ends of a connection; of another: other."""
    return dicom_tls_certificates(tmp_path_factory.mktemp("dicom") / "pem")


@pytest.fixture
def tls(dicom_certificates) -> dict:
    """A [tls] for the node."""
    return {
        name: str(dicom_certificates / file)
        for name, file in {"certificate": "us.pem", "key": "us.key", "ca": "ca.pem"}.items()
    }


def with_tls(folder, owner: str) -> list[str]:
    """DCMTK's options for a certificate."""
    return ["+tls", str(folder / f"{owner}.key"), str(folder / f"{owner}.pem"), "+cf", str(folder / "ca.pem")]


def test_dicom_tls_takes_a_scanner_with_a_certificate_and_no_other(make_node, dicom_certificates, tls, ct):
    node = make_node(tls=tls)
    assert send(ct, node.port).returncode != 0
    assert send(ct, node.port, options=with_tls(dicom_certificates, "other")).returncode != 0
    assert send(ct, node.port, options=["+tla", "+cf", str(dicom_certificates / "ca.pem")]).returncode != 0
    assert node.instances() == []
    sent = send(ct, node.port, options=with_tls(dicom_certificates, "peer"))
    assert sent.returncode == 0, sent.stderr
    assert len(node.instances()) == len(ct)


def test_the_node_itself_reaches_planning_systems_with_and_without_tls(make_node, dicom_certificates, tls, tmp_path):
    """As the connection lights of a workstation ask it to."""
    secure = PlanningSystem(tmp_path, "SECURE", options=with_tls(dicom_certificates, "peer"))
    systems = {"PLAIN": PlanningSystem(tmp_path, "PLAIN"), "SECURE": secure}
    destinations = {
        name: {"ae_title": name, "host": "127.0.0.1", "port": system.port, "tls": name == "SECURE"}
        for name, system in systems.items()
    }
    made = make_node(tls=tls, destinations=destinations)
    with Node(made.settings.node) as node:
        for name, system in systems.items():
            assert node.echo(name) is False
            system.start()
            try:
                assert node.echo(name) is True, made.log.read_text()[-2000:]
            finally:
                system.stop()
        assert node.echo("STRANGER") is None


def test_one_system_may_have_two_roles_and_two_systems_not_one_ae_title(tmp_path):
    both = {"ae_title": "PACS", "host": "192.0.2.5"}
    config = write_service_toml(
        tmp_path / "site", scanners={"PACS": both}, destinations={"ARCHIVE": both | {"ae_title": "pacs", "port": 105}}
    )
    (pacs,) = [peer for peer in peers(load(config)) if peer.ae_title.upper() == "PACS"]
    assert pacs.may == {"Echo", "Store"} and pacs.port == 105
    two = write_service_toml(tmp_path / "two", scanners={"A": both, "B": both | {"host": "192.0.2.6"}})
    assert "two hosts" in refusal(two)


@pytest.mark.parametrize(
    ("address", "ae_title"),
    [
        ("192.0.2.41", "SLICER1"),
        ("192.0.2.42", "HNSEG"),
        ("192.0.2.10", "HNSEG"),
        ("", "HNSEG"),
        ("127.0.0.1", "SLICER2"),
    ],
)
def test_a_workstation_calls_with_its_own_ae_title(tmp_path, address, ae_title):
    workstations = {
        "a": {"ae_title": "SLICER1", "host": "192.0.2.41"},
        "b": {"ae_title": "SLICER2", "host": "localhost"},
    }
    workstations["node"] = {"ae_title": "SLICER3", "host": "192.0.2.10"}
    settings = load(write_service_toml(tmp_path / "site", workstations=workstations))
    assert of_address(settings, address, "192.0.2.10") == ae_title


def test_our_address_towards_a_host():
    assert address_towards("127.0.0.1") == "127.0.0.1"
    assert address_towards("no-such-host.invalid") == ""
