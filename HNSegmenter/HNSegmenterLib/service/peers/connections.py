"""DICOM connections to other machines: will a peer talk to us (C-ECHO), did it take a structure set (C-STORE)."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from pydicom import dcmread
from pydicom.uid import RTStructureSetStorage
from pynetdicom import AE, evt
from pynetdicom.pdu import A_ASSOCIATE_RJ

from ...errors import HNSegmenterError
from ...rtstruct.encoding import dicom_file
from . import faults
from .peer import Peer, TlsFiles

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.uid import UID
    from pynetdicom.association import Association

VERIFICATION = "1.2.840.10008.1.1"  # of C-ECHO
TIMEOUT_S = 10.0
_TRANSFER_SYNTAXES = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"]  # explicit and implicit VR, little endian
_SUCCESS, _DUPLICATE = 0x0000, 0x0111
_WARNINGS = (0x0001, 0x0107, 0x0116)  # PS3.7 C.3: stored, with a remark; as is 0xB000 to 0xBFFF
# PS3.4 B.2.3 and PS3.7 annex C: what a repeat of the same data set cannot mend.
_FINAL = {
    0x0106: "an invalid attribute value",
    0x0117: "an invalid UID",
    0x0122: "it takes no structure sets",
    0x0124: "not authorised",
}
# Its messages quote data elements and, for a failed TLS handshake, whole tracebacks; ours say what matters.
logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True)
class Light:
    """Whether a connection works, and why if not."""

    name: str
    address: str
    ok: bool
    sentence: str


@dataclass(frozen=True)
class Answer:
    """A peer took the data set. status: of C-STORE, such as 0x0000; warning: what it remarked, "" if nothing."""

    status: int
    sentence: str
    warning: str = ""


class DeliveryFault(HNSegmenterError):
    """A peer did not take a data set. final: the same again would be refused again."""

    def __init__(self, sentence: str, final: bool = False):
        super().__init__(sentence)
        self.final = final


def echo(peer: Peer, calling_ae: str, tls: TlsFiles | None = None, timeout_s: float = TIMEOUT_S) -> Light:
    """C-ECHO as `calling_ae`; never raises: every failure is a red light with its likely cause."""
    try:
        with _association(peer, calling_ae, tls, VERIFICATION, timeout_s) as association:
            status = association.send_c_echo().get("Status")
    except DeliveryFault as fault:
        return Light(peer.name, peer.address, False, fault.sentence)
    if status != _SUCCESS:
        found = "gave no answer" if status is None else f"answered status 0x{status:04X}"
        sentence = f"{peer.name} takes the connection but {found} to C-ECHO: allow {calling_ae} to echo there."
        return Light(peer.name, peer.address, False, sentence)
    return Light(peer.name, peer.address, True, f"{peer.name} answers {calling_ae}.")


def store(
    dataset: Dataset, peer: Peer, calling_ae: str, tls: TlsFiles | None = None, timeout_s: float = TIMEOUT_S
) -> Answer:
    """Send one RTSTRUCT (with file_meta) by C-STORE as `calling_ae`; done only if the peer's own answer says so.

    It goes byte for byte as a file of ours holds it, in the transfer syntax that the peer chose.
    timeout_s: for the connection; the answer to the data set may take six times as long. Raises DeliveryFault.
    """
    with _association(peer, calling_ae, tls, RTStructureSetStorage, timeout_s) as association:
        association.dimse_timeout = 6 * timeout_s
        encoded = _encoded(dataset, association.accepted_contexts[0].transfer_syntax[0])
        try:
            status = association.send_c_store(encoded).get("Status")
        except (RuntimeError, ValueError, AttributeError) as error:  # the peer hung up meanwhile
            raise DeliveryFault(
                f"{peer.name} broke the connection off before it was sent the structure set."
            ) from error
    return answer_of(status, peer)


def _encoded(dataset: Dataset, syntax: UID) -> Dataset:
    """The data set as if read from a file in that syntax, of which pynetdicom sends the bytes as they are."""
    try:
        return dcmread(BytesIO(dicom_file(dataset, syntax)))
    except HNSegmenterError as fault:
        raise DeliveryFault(fault.sentence, final=True) from fault


def answer_of(status: int | None, peer: Peer) -> Answer:
    """What a C-STORE status (None: none came) means. Raises DeliveryFault unless the peer has stored the data set."""
    if status is None:
        raise DeliveryFault(
            f"{peer.name} broke off or gave no answer to the structure set: whether it keeps it is not known."
        )
    if status == _SUCCESS:
        return Answer(status, f"{peer.name} stored it.")
    if status == _DUPLICATE:  # it stored our earlier attempt, whose answer we never saw
        return Answer(status, f"{peer.name} has it already.")
    if status in _WARNINGS or 0xB000 <= status <= 0xBFFF:
        return Answer(status, f"{peer.name} stored it.", f"{peer.name} stored it with the warning 0x{status:04X}.")
    if status & 0xFF00 == 0xA700:
        raise DeliveryFault(f"{peer.name} is out of resources (0x{status:04X}): free its disk.")
    if status in _FINAL or status & 0xFF00 == 0xA900 or status & 0xF000 == 0xC000:
        why = _FINAL.get(status, "it cannot read the data set")
        raise DeliveryFault(
            f"{peer.name} refused the structure set (0x{status:04X}, {why}): ask its vendor.", final=True
        )
    raise DeliveryFault(f"{peer.name} could not store the structure set (0x{status:04X}): look into its log.")


@contextmanager
def _association(
    peer: Peer, calling_ae: str, tls: TlsFiles | None, sop_class: str, timeout_s: float
) -> Iterator[Association]:
    """An association that carries `sop_class`. Raises DeliveryFault with the likely cause."""
    try:
        context = faults.tls_context(tls, peer) if peer.tls else None
        address = faults.resolve(peer)
    except faults.NoConnection as fault:
        raise DeliveryFault(str(fault)) from fault
    ae = AE(calling_ae)
    ae.add_requested_context(sop_class, _TRANSFER_SYNTAXES)
    ae.connection_timeout = ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = timeout_s
    opened: list[float] = []
    refusals: list[A_ASSOCIATE_RJ] = []

    def hear(event) -> None:
        """In pynetdicom's thread: its is_rejected stays False where refusal and close come before ours runs again."""
        if isinstance(event.pdu, A_ASSOCIATE_RJ):
            refusals.append(event.pdu)

    association = ae.associate(
        address if ":" in address[0] else address[0],
        peer.port,
        ae_title=peer.ae_title,
        tls_args=(context, peer.host) if context else None,
        evt_handlers=[(evt.EVT_CONN_OPEN, lambda _event: opened.append(time.monotonic())), (evt.EVT_PDU_RECV, hear)],
    )
    if not association.is_established:
        silent = bool(opened) and time.monotonic() - opened[0] >= 0.9 * timeout_s
        refusal = refusals[0] if refusals else None
        raise DeliveryFault(
            faults.why_not(peer, calling_ae, refusal, context, address, bool(opened), silent, timeout_s)
        )
    try:
        if not association.accepted_contexts:
            what = "structure sets" if sop_class == RTStructureSetStorage else "C-ECHO"
            raise DeliveryFault(f"{peer.name} takes the connection but no {what} from {calling_ae}: allow them there.")
        yield association
    finally:
        if association.is_established:
            association.release()
        else:
            association.abort()
