"""Why a DICOM connection did not come about: the likely cause as a sentence for the physicist."""

from __future__ import annotations

import socket
import ssl
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pynetdicom.pdu import A_ASSOCIATE_RJ

    from .peer import Peer, TlsFiles

_ALERT_WAIT_S = 2.0  # TLS 1.3: the peer's no to our certificate comes after the handshake
# A-ASSOCIATE-RJ (PS3.8 9.3.4): source 1 is the service user, 2 and 3 the provider.
_USER, _CALLING_AE, _CALLED_AE = 1, 3, 7


class NoConnection(Exception):
    """Its text is the sentence."""


def tls_context(tls: TlsFiles | None, peer: Peer) -> ssl.SSLContext:
    """Mutual TLS: both sides' certificates must come from the authority of the settings.

    The host's name is not compared: DICOM peers are known by address, their certificates rarely name it, and the
    clinic's own authority is what is trusted. Raises NoConnection if the files are missing or do not fit.
    """
    if tls is None or not (tls.certificate and tls.key and tls.ca):
        raise NoConnection(
            f"{peer.name} is set to TLS, but [tls] names no certificate, key and ca: add them, or set tls = false."
        )
    try:
        context = ssl.create_default_context(cafile=str(tls.ca))
        context.check_hostname = False
        context.load_cert_chain(str(tls.certificate), str(tls.key), password="")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "not PEM"
        what = "give certificate, key without password, and ca as PEM."
        raise NoConnection(f"The files of [tls] cannot be used ({reason}): {what}") from error
    return context


def resolve(peer: Peer) -> tuple:
    """The socket address of a peer, IPv4 first. Raises NoConnection."""
    try:
        found = socket.getaddrinfo(peer.host, peer.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NoConnection(
            f"{peer.name}: the name {peer.host} is unknown: correct host, or give its address."
        ) from error
    return min(found, key=lambda entry: entry[0] != socket.AF_INET)[4]


def why_not(
    peer: Peer,
    calling_ae: str,
    refusal: A_ASSOCIATE_RJ | None,
    context: ssl.SSLContext | None,
    address: tuple,
    opened: bool,
    silent: bool,
    timeout_s: float,
) -> str:
    """opened: the connection came about, with TLS if context; silent: then nothing came for timeout_s."""
    if refusal is not None:
        return _rejected(peer, calling_ae, refusal)
    if silent:
        return (
            f"{peer.name} takes the connection but gives no answer within {timeout_s:.0f} "
            "s: restart the DICOM service there."
        )
    problem = _problem(peer, address, context, timeout_s)
    if problem:
        return problem
    if not opened:
        return f"{peer.name}: the connection failed for a moment: try again."
    return (
        f"{peer.name} closes the connection without an answer: another program than DICOM listens at "
        f"{peer.host}:{peer.port}, or this computer's address is not allowed there."
    )


def _rejected(peer: Peer, calling_ae: str, refusal: A_ASSOCIATE_RJ) -> str:
    if refusal.source != _USER:
        return f"{peer.name} is busy and takes no more connections: try again later."
    if refusal.reason_diagnostic == _CALLED_AE:
        return (
            f"{peer.name} does not answer to the AE title {peer.ae_title}: correct ae_title of {peer.name}. "
            f"(Some systems say so too where our AE title {calling_ae} is not entered.)"  # dcmqrscp does
        )
    if refusal.reason_diagnostic == _CALLING_AE:
        return f"{peer.name} refuses our AE title {calling_ae}: have it entered there, with this computer's address."
    return (
        f"{peer.name} refuses the connection and gives no reason: mostly our AE title {calling_ae} or this computer's "
        f"address is not entered there, or its own AE title is not {peer.ae_title}."
    )


def _problem(peer: Peer, address: tuple, context: ssl.SSLContext | None, timeout_s: float) -> str | None:
    """Connects once more, step by step, to see which step fails; None if all work."""
    try:
        connection = socket.create_connection(address[:2], timeout_s)
    except TimeoutError:
        return (
            f"{peer.name}: no answer from {peer.host}:{peer.port} within {timeout_s:.0f} s: "
            "the machine is off, the address is wrong, or a firewall is between."
        )
    except ConnectionRefusedError:
        return (
            f"{peer.name}: port {peer.port} of {peer.host} is closed: start the DICOM "
            "service there, or correct host and port."
        )
    except OSError as error:
        return f"{peer.name}: {peer.host} cannot be reached ({error.strerror or 'network'}): check network and address."
    with closing(connection):
        if context is None:
            return f"{peer.name} expects TLS on port {peer.port}: set tls = true." if _speaks_tls(connection) else None
        return _tls_problem(peer, connection, context)


def _speaks_tls(connection: socket.socket) -> bool:
    probe = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # only asks whether it is TLS: nothing is sent
    probe.check_hostname, probe.verify_mode = False, ssl.CERT_NONE
    connection.settimeout(_ALERT_WAIT_S)
    try:
        with probe.wrap_socket(connection):
            return True
    except ssl.SSLEOFError:
        return False
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")  # it wants a certificate: still TLS
    except OSError:
        return False


def _tls_problem(peer: Peer, connection: socket.socket, context: ssl.SSLContext) -> str | None:
    connection.settimeout(_ALERT_WAIT_S)
    try:
        with context.wrap_socket(connection, server_hostname=peer.host) as secure:
            secure.recv(1)
    except ssl.SSLCertVerificationError as error:
        return (
            f"{peer.name}: its certificate is not trusted ({error.verify_message}): put "
            "the authority that issued it into [tls] ca."
        )
    except ssl.SSLError as error:
        reason = (error.reason or "no TLS").replace("_", " ").lower()
        if "ALERT" in (error.reason or ""):
            return (
                f"{peer.name} refuses our TLS certificate ({reason}): have the authority "
                "of [tls] certificate entered there."
            )
        return f"{peer.name} does not speak TLS on port {peer.port} ({reason}): give its TLS port, or set tls = false."
    except TimeoutError:
        return None  # nothing to complain of: it waits for us
    except OSError:
        return (
            f"{peer.name} breaks off the TLS handshake: it speaks no TLS on port {peer.port}, or none of our versions."
        )
    return None
