"""The inbox on a real node: who waits, their files, the connection lights,
and what all of it says and keeps to itself."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys

import pytest
from rich.cells import cell_len

from HNSegmenterLib.errors import Cancelled, HNSegmenterError, UnusableInput, WrongUsage
from HNSegmenterLib.events import CancelToken
from HNSegmenterLib.service.inbox import fetching, listing
from HNSegmenterLib.service.node.client import RESULTS, NodeFault
from HNSegmenterLib.service.peers.lights import connections
from Testing.machine import ROOT, free_port, require_program
from Testing.phantoms import head_phantom, write_ct_series
from Testing.rtstruct.help import digests
from Testing.service.fixtures import MONACO, PlanningSystem, Program, listens, make_node, write_service_toml
from Testing.service.review_help import PATIENT, command_line, make_certificates, own_node, put_waiting, rest, waiting


def test_a_row_tells_patient_state_and_what_to_look_at(rest, waiting):
    (row,) = [row for row in listing.patients(rest) if row["series"] == waiting.series]
    assert (row["patient_name"], row["patient_id"]) == PATIENT
    assert (row["series_uid"], row["job"], row["state"]) == (waiting.uid, "job1", "waiting")
    assert row["warnings"] == ["Slices are 4 mm apart."] and row["destinations"] == [MONACO]
    assert row["organs"][0]["name"] == "Brainstem"
    assert row["received"].endswith("+00:00")
    assert row == listing.patient(rest, waiting.series)


def test_newest_first_and_nothing_that_the_worker_has_not_seen(rest, tmp_path):
    series = [put_waiting(rest, tmp_path / str(number)).series for number in range(2)]
    unseen = write_ct_series(tmp_path / "unseen", head_phantom((3, 16, 16)))
    for path in unseen:
        rest.upload(path.read_bytes())
    rows = listing.patients(rest)
    received = [row["received"] for row in rows]
    assert received == sorted(received, reverse=True)
    assert set(series) <= {row["series"] for row in rows}
    assert len(rows) < len(rest.all_series())


def test_every_series_of_the_list_can_be_typed_as_it_is_shown(own_node, rest, waiting, tmp_path):
    """At 80 columns; what begins so is taken, what is not told apart by it is listed."""
    held = put_waiting(
        rest,
        tmp_path / "held",
        patient={"PatientName": "MÜLLER-LÜDENSCHEIDT^Hans-Jürgen", "SpecificCharacterSet": "ISO_IR 100"},
    )
    held.attach_job(
        state="held",
        reason="The scan looks upside down, its head where the feet should be: send it again.",
        organs=[
            {"name": name, "found": found, "model": model}
            for name, found, model in (("Brain", True, "a 1"), ("Larynx", True, "b 2"), ("Lips", False, "b 2"))
        ],
    )
    for number in range(17):  # so that two ids begin with the same digit
        (path,) = write_ct_series(tmp_path / f"one{number}", head_phantom((1, 16, 16)))
        rest.upload(path.read_bytes())
    options = ("--config", own_node.config)
    head, *lines = command_line("inbox", "list", *options, env={**os.environ, "COLUMNS": "80"}).stdout.splitlines()
    rows = listing.patients(rest)
    assert head.split() == ["Series", "Received", "State", "Patient", "ID", "Remarks"]
    assert len(lines) == len(rows) + 1 and "--long" in lines[-1] and all(cell_len(line) <= 80 for line in lines)
    for row, line in zip(rows, lines, strict=False):
        shown = line.split()[0]
        assert listing.series_named(rest, shown) == listing.series_named(rest, row["series_uid"]) == row["series"]
        assert row["state"] in line
    long = command_line("inbox", "list", "--long", *options).stdout
    assert all(text in long for text in (held.series, held.uid, "MÜLLER-LÜDENSCHEIDT^Hans-Jürgen", "send it again."))
    assert "Drawn by a 1: Brain; b 2: Larynx\n" in long
    shown = next(line.split()[0] for row, line in zip(rows, lines, strict=False) if row["series"] == waiting.series)
    said = command_line("inbox", "fetch", shown.upper(), "--out", tmp_path / "out", *options)
    assert said.returncode == 0 and (tmp_path / "out" / "ct").is_dir(), said.stderr
    firsts = [series[0] for series in rest.all_series()]
    said = command_line("inbox", "fetch", max(firsts, key=firsts.count), "--out", tmp_path / "more", *options)
    assert said.returncode == 64 and "have an id that begins with" in said.stderr and not (tmp_path / "more").exists()
    for nothing in ("xyz", "1.2.3.4"):
        said = command_line("inbox", "fetch", nothing, "--out", tmp_path / "more", *options)
        assert said.returncode == 2 and f"has no series {nothing}" in said.stderr


def test_a_held_series_tells_why(rest, waiting):
    waiting.attach_job(state="held", reason="Unlikely head and neck: no eye, parotid or brainstem was found.")
    row = listing.patient(rest, waiting.series)
    assert (row["state"], row["reason"]) == ("held", "Unlikely head and neck: no eye, parotid or brainstem was found.")


def test_what_is_fetched_is_what_was_sent_and_found(rest, waiting, tmp_path):
    events = []
    out = tmp_path / "out"
    found = fetching.fetch(rest, waiting.series, out, events.append)
    assert sorted(digests(out / "ct").values()) == sorted(digests(waiting.ct).values())
    assert min(path.name for path in (out / "ct").iterdir()) == "0001.dcm"
    assert digests(out / "results") == digests(waiting.results)
    assert found["patient"]["series"] == waiting.series and found["results"] == str(out / "results")
    assert sorted(path.name for path in out.iterdir()) == ["ct", "results"]
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    fractions = [event.fraction for event in events]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0


def test_without_a_result_the_ct_alone_is_fetched(rest, waiting, tmp_path):
    rest.detach(waiting.series, RESULTS)
    found = fetching.fetch(rest, waiting.series, tmp_path / "out")
    assert found["results"] is None and [path.name for path in (tmp_path / "out").iterdir()] == ["ct"]


def test_a_cancel_or_a_fault_leaves_nothing(rest, waiting, tmp_path):
    cancel = CancelToken()

    def at_a_third(event):
        if event.fraction > 0.3:
            cancel.cancel()

    with pytest.raises(Cancelled):
        fetching.fetch(rest, waiting.series, tmp_path / "out", at_a_third, cancel)
    assert not (tmp_path / "out").exists()
    rest.attach(waiting.series, RESULTS, b"half an archive")
    with pytest.raises(HNSegmenterError, match="damaged"):
        fetching.fetch(rest, waiting.series, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_result_that_is_replaced_while_it_is_fetched_is_not_mixed(rest, waiting, tmp_path):
    def meanwhile(event):
        if event.fraction == 1.0:
            waiting.attach_job(job="job2")

    with pytest.raises(HNSegmenterError, match="segmented anew"):
        fetching.fetch(rest, waiting.series, tmp_path / "out", meanwhile)
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_and_an_unknown_series_are_refused(rest, waiting, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()
    with pytest.raises(WrongUsage, match="is not empty"):
        fetching.fetch(rest, waiting.series, tmp_path / "out")
    with pytest.raises(UnusableInput, match="no such series"):
        fetching.fetch(rest, "-".join(["01234567"] * 5), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_paths_in_an_archive_stay_in_the_folder(rest, waiting, tmp_path):
    import io
    import zipfile

    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("../../outside.txt", "no")
        archive.writestr("/outside.txt", "no")
    rest.attach(waiting.series, RESULTS, content.getvalue())
    fetching.fetch(rest, waiting.series, tmp_path / "in" / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"patient", "in"}
    assert all((tmp_path / "in" / "out" / "results") in path.parents for path in tmp_path.rglob("outside.txt"))


def test_the_command_speaks_json(own_node, waiting, tmp_path):
    listed = command_line("inbox", "list", "--config", own_node.config, "--json")
    assert listed.returncode == 0, listed.stderr
    (result,) = [json.loads(line) for line in listed.stdout.splitlines()]
    assert waiting.series in [row["series"] for row in result["patients"]]
    fetched = command_line(
        "inbox", "fetch", waiting.uid, "--out", tmp_path / "out", "--config", own_node.config, "--json"
    )
    *progress, last = [json.loads(line) for line in fetched.stdout.splitlines()]
    assert last["event"] == "result" and last["ct"] == str(tmp_path / "out" / "ct")
    assert {event["event"] for event in progress} == {"progress", "message"}


def test_the_password_comes_by_environment_or_file_and_is_asked_for_in_a_sentence(own_node, tmp_path):
    node_password = own_node.settings.node.password()
    config = tmp_path / "service.toml"
    config.write_text(own_node.config.read_text().replace('"node-password"', '""'))
    without = command_line("inbox", "list", "--config", config, "--json", env={**os.environ, "HNSEG_NODE_PASSWORD": ""})
    wrong = command_line(
        "inbox", "list", "--config", config, "--json", env={**os.environ, "HNSEG_NODE_PASSWORD": "wrong-password"}
    )
    right = command_line(
        "inbox", "list", "--config", config, "--json", env={**os.environ, "HNSEG_NODE_PASSWORD": node_password}
    )
    assert (without.returncode, wrong.returncode, right.returncode) == (64, 1, 0)
    for run in (without, wrong):
        assert "password" in json.loads(run.stdout.splitlines()[-1])["message"]
    for run in (without, wrong, right):
        assert node_password not in run.stdout + run.stderr and "wrong-password" not in run.stdout + run.stderr


def test_a_node_that_is_away_is_said(tmp_path):
    config = write_service_toml(tmp_path / "away")
    said = command_line("inbox", "list", "--config", config)
    assert said.returncode == NodeFault.exit_code
    assert "Nothing listens at http://127.0.0.1" in said.stderr and "Traceback" not in said.stderr


@pytest.mark.parametrize("package", ["pyorthanc", "httpx", "pynetdicom"])
def test_a_missing_package_is_named_with_its_cure(own_node, package):
    without = (
        f"import sys; sys.modules[{package!r}] = None; from HNSegmenterLib.cli.main import main; "
        "sys.exit(main(sys.argv[1:]))"
    )
    action = "connections" if package == "pynetdicom" else "list"
    command = [sys.executable, "-c", without, "inbox", action, "--config", str(own_node.config)]
    said = subprocess.run(command, capture_output=True, text=True, cwd=ROOT / "HNSegmenter", check=False)
    assert said.returncode == 64
    assert f"needs the package {package}: run  pip install 'hn-segmenter[service]'" in said.stderr


# The connection lights.


@pytest.fixture
def monaco(tmp_path):
    """dcmqrscp, which knows our title HNSEG and no other."""
    port = free_port()
    (tmp_path / "db").mkdir()
    lines = [f"NetworkTCPPort = {port}", "MaxPDUSize = 16384", "MaxAssociations = 4", "HostTable BEGIN"]
    lines += ["us = (HNSEG, localhost, 11112)", "HostTable END", "VendorTable BEGIN", "VendorTable END"]
    lines += ["AETable BEGIN", f"MONACO {tmp_path / 'db'} RW (9, 100mb) us", "AETable END"]
    (tmp_path / "qr.cfg").write_text("\n".join(lines) + "\n")
    command = [require_program("dcmqrscp"), "-c", str(tmp_path / "qr.cfg")]
    program = Program(command, tmp_path / "qr.log", lambda: listens(port), tmp_path)
    program.port = port
    program.start()
    yield program
    program.stop()


def test_lights_of_node_and_planning_systems(make_node, monaco):
    made = make_node(
        planning_port=monaco.port,
        destinations={"PINNACLE": {"ae_title": "PINN", "host": "127.0.0.1", "port": free_port()}},
    )
    lights = {light.name: light for light in connections(made.settings)}
    assert list(lights) == ["node", MONACO, "PINNACLE"]
    assert lights["node"].ok and lights[MONACO].ok
    assert not lights["PINNACLE"].ok and "is closed" in lights["PINNACLE"].sentence
    said = command_line("inbox", "connections", "--config", made.config, "--json")
    assert said.returncode == 1
    shown = json.loads(said.stdout.splitlines()[-1])["lights"]
    assert [(light["name"], light["ok"]) for light in shown] == [("node", True), (MONACO, True), ("PINNACLE", False)]
    made.stop()
    node_light = connections(made.settings)[0]
    assert not node_light.ok and "is closed" in node_light.sentence


def test_lights_by_tls(make_node, tmp_path):
    folder = make_certificates(tmp_path / "certificates")
    files = {"certificate": str(folder / "us.pem"), "key": str(folder / "us.key"), "ca": str(folder / "ca.pem")}
    options = ["+tls", str(folder / "peer.key"), str(folder / "peer.pem"), "+cf", str(folder / "ca.pem")]
    system = PlanningSystem(tmp_path / "secure", options=options)
    system.start()
    try:
        destination = {MONACO: {"ae_title": MONACO, "host": "127.0.0.1", "port": system.port, "tls": True}}
        made = make_node(tls=files, destinations=destination)
        lights = connections(made.settings)
        assert [light.ok for light in lights] == [True, True], lights
        assert all(light.address.endswith("(TLS)") for light in lights)
    finally:
        system.stop()


def test_on_a_workstation_the_nodes_own_connection_counts(make_node, monaco):
    """127.0.0.1 is the workstation here, 127.0.0.2 the node."""
    port = free_port()
    workstation = {"SLICER1": {"ae_title": "SLICER1", "host": "127.0.0.1"}}
    made = make_node(node={"url": f"http://127.0.0.2:{port}"}, planning_port=monaco.port, workstations=workstation)
    node_light, light = connections(made.settings)
    assert node_light.ok and node_light.sentence == "node answers SLICER1."
    assert light.ok and light.sentence.startswith("MONACO answers the node, which sends")
    monaco.stop()
    _, light = connections(made.settings)
    assert (
        not light.ok and "is closed" in light.sentence and light.sentence.endswith("(The node gets no answer either.)")
    )


def test_doctor_has_the_lights_too(make_node, monaco):
    made = make_node(planning_port=monaco.port)
    said = command_line("doctor", "--config", made.config, "--json")
    findings = {item["what"]: item for item in json.loads(said.stdout.splitlines()[-1])["findings"]}
    assert (
        findings["Node, REST"]["state"]
        == findings["C-ECHO node"]["state"]
        == findings[f"C-ECHO {MONACO}"]["state"]
        == "ok"
    )
    assert "Orthanc" in findings["Node, REST"]["found"]
    monaco.stop()
    made.stop()
    said = command_line("doctor", "--config", made.config, "--json")
    findings = {item["what"]: item for item in json.loads(said.stdout.splitlines()[-1])["findings"]}
    assert said.returncode == 1
    assert "Nothing listens" in findings["Node, REST"]["found"] and "Orthanc running" in findings["Node, REST"]["fix"]
    assert "is closed" in findings[f"C-ECHO {MONACO}"]["found"]
    assert findings[f"C-ECHO {MONACO}"]["fix"].startswith("Start the DICOM service there")
    assert made.settings.node.password() not in said.stdout + said.stderr


def test_doctor_says_what_is_wrong_in_the_configuration(tmp_path):
    (tmp_path / "service.toml").write_text('[node]\nport = "high"\n')
    said = command_line("doctor", "--config", tmp_path / "service.toml", "--json")
    findings = {item["what"]: item for item in json.loads(said.stdout.splitlines()[-1])["findings"]}
    assert said.returncode == 1 and findings["Node, REST"]["state"] == "fault"
    assert not [what for what in findings if what.startswith("C-ECHO")]
