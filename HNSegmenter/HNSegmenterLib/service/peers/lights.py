"""The connection lights: C-ECHO to the node, where the scanners send to, and to every planning system."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import urlsplit

from ...errors import HNSegmenterError
from ..node.client import Node
from ..settings import ServiceSettings
from .calling import calling_ae
from .connections import Light, echo
from .peer import Peer


def connections(settings: ServiceSettings) -> list[Light]:
    """The node's light, then one for each destination, all asked at once.

    Structure sets are sent from the node's machine: where a planning system does not answer another one, a workstation,
    the node is asked to try, and its answer counts.
    """
    host = urlsplit(settings.node.url).hostname or ""
    title = calling_ae(settings, host)
    here = title == settings.node.ae_title

    def light(peer: Peer) -> Light:
        own = echo(peer, title, settings.tls)
        return own if here or own.ok or peer.name == "node" else _asked_by_node(settings, peer, own)

    node = Peer("node", settings.node.ae_title, host, settings.node.dicom_port, settings.tls is not None)
    peers = [node, *(Peer(d.name, d.ae_title, d.host, d.port, d.tls) for d in settings.destinations.values())]
    with ThreadPoolExecutor(len(peers)) as pool:
        return list(pool.map(light, peers))


def _asked_by_node(settings: ServiceSettings, peer: Peer, own: Light) -> Light:
    try:
        with Node(settings.node) as node:
            answered = node.echo(peer.ae_title)
    except HNSegmenterError:
        answered = None
    if answered:
        return replace(
            own, ok=True, sentence=f"{peer.name} answers the node, which sends; not this computer, which need not."
        )
    if answered is None:
        return own
    return replace(own, sentence=f"{own.sentence} (The node gets no answer either.)")
