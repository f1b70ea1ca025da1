"""On its way through review and C-STORE, too, a structure set keeps the bytes that its CT has of the patient."""

from __future__ import annotations

from datetime import UTC, datetime

import pydicom
import pytest
from pydicom.dataelem import DataElement

from HNSegmenterLib.dicom import read_planning_ct
from HNSegmenterLib.errors import WrongUsage
from HNSegmenterLib.rtstruct import placed, write_rtstruct
from HNSegmenterLib.service.inbox import finalising
from HNSegmenterLib.service.peers.connections import DeliveryFault, store
from HNSegmenterLib.service.peers.peer import Peer
from Testing.phantoms import head_phantom, write_ct_series
from Testing.raw_elements import element, implicit_element, put_bytes
from Testing.rtstruct.help import head_organs, result
from Testing.service.fixtures import MONACO, PlanningSystem
from Testing.service.review_help import REVIEWER

SHAPE, SPACING = (24, 40, 40), (6.0, 6.0, 4.0)
LATIN = {"SpecificCharacterSet": b"ISO_IR 192", "PatientName": b"M\xfcller^J\xf6rg ", "PatientID": b" \xe4 7\0\0"}
KOREAN = {
    "SpecificCharacterSet": b"ISO 2022 IR 149 ",
    "PatientName": b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7",
    "PatientID": b"ID",
}
UNKNOWN = {"SpecificCharacterSet": b"ISO_IR 999", "PatientName": b"M\xfcller^J\xf6rg ", "PatientID": b"ID"}
VRS = {"SpecificCharacterSet": b"CS", "PatientName": b"PN", "PatientID": b"LO"}


def drawn(folder, held):
    """The CT with these bytes, and the worker's structure set of it, as it lies on the node."""
    put_bytes(write_ct_series(folder / "ct", head_phantom(SHAPE, SPACING), SPACING), held)
    ct = read_planning_ct(folder / "ct")
    write_rtstruct(ct, head_organs(ct), result(), folder / "rtstruct.dcm")
    return ct, (folder / "rtstruct.dcm").read_bytes()


@pytest.fixture
def planning_system(tmp_path):
    running = []

    def start(*options):
        system = PlanningSystem(tmp_path, options=options)
        running.append(system)
        system.start()
        return system, Peer(MONACO, system.ae_title, "127.0.0.1", system.port)

    yield start
    for system in running:
        system.stop()


@pytest.mark.parametrize(
    "held", [LATIN, KOREAN, UNKNOWN], ids=["Latin-1 called UTF-8", "Korean", "an unknown character set"]
)
@pytest.mark.parametrize("implicit", [False, True])
def test_what_was_reviewed_arrives_with_the_cts_bytes(held, implicit, planning_system, tmp_path):
    """Peers that take Implicit VR alone are sent it; pydicom would decode all texts for that."""
    ct, content = drawn(tmp_path, held)
    now = datetime(2026, 1, 2, tzinfo=UTC)
    seen = finalising.read_rtstruct(content)
    reviewed = finalising.finalised(seen, ct, result(), REVIEWER, now)
    dataset = finalising.read_rtstruct(finalising.to_bytes(reviewed, tmp_path, placed(seen, ct)))
    finalising.approve(dataset, REVIEWER, now)
    system, peer = planning_system(*(["+xi"] if implicit else []))
    store(dataset, peer, "HNSEG")
    (file,) = system.received()
    arrived = file.read_bytes()
    assert pydicom.dcmread(file).file_meta.TransferSyntaxUID.is_implicit_VR == implicit
    assert pydicom.dcmread(file).ReviewerName == REVIEWER
    for keyword, value in held.items():
        assert (implicit_element(keyword, value) if implicit else element(keyword, VRS[keyword], value)) in arrived, (
            keyword
        )


def test_what_nobody_reviewed_arrives_so_too(planning_system, tmp_path):
    _, content = drawn(tmp_path, LATIN)
    dataset = finalising.read_rtstruct(content)
    finalising.mark_not_reviewed(dataset, "2.25.1")
    system, peer = planning_system()
    store(dataset, peer, "HNSEG")
    arrived = system.received()[0].read_bytes()
    assert element("StructureSetLabel", b"SH", b"NOT REVIEWED") in arrived
    for keyword, value in LATIN.items():
        assert element(keyword, VRS[keyword], value) in arrived, keyword


def test_what_cannot_be_written_is_not_blamed_on_the_peer(planning_system, tmp_path):
    _, content = drawn(tmp_path, LATIN)
    dataset = finalising.read_rtstruct(content)
    dataset["Manufacturer"] = DataElement("Manufacturer", "LO", {"SECRET": 1}, already_converted=True)
    system, peer = planning_system()
    with pytest.raises(DeliveryFault, match="Manufacturer") as fault:
        store(dataset, peer, "HNSEG")
    assert fault.value.final and "SECRET" not in fault.value.sentence and MONACO not in fault.value.sentence
    assert system.received() == []


def test_a_reviewer_that_the_character_set_does_not_hold_is_said_before_anything_is_sent(tmp_path):
    ct, content = drawn(tmp_path, UNKNOWN)
    with pytest.raises(WrongUsage, match="cannot be written beside this patient's"):
        finalising.finalised(
            finalising.read_rtstruct(content), ct, result(), "Müller^Änne", datetime(2026, 1, 2, tzinfo=UTC)
        )
