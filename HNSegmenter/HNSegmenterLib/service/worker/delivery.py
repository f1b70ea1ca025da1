"""One structure set to one destination: what is sent is fixed before, so that every repeat sends the same."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from ...silent_libraries import quiet
from ..inbox import fetching, finalising
from ..inbox.review_record import reviewed_set
from ..node.client import Node
from ..peers.connections import DeliveryFault, store
from ..peers.peer import Peer
from ..settings import APPROVED, Destination, ServiceSettings
from ..table.interface import REVIEWED, Delivery, Job

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


@quiet()
def send(node: Node, settings: ServiceSettings, job: Job, delivery: Delivery) -> str:
    """Send one delivery of a job by C-STORE with our AE title; returns the peer's answer as a sentence.

    A reviewed set is the one that the reviewer's approval holds, APPROVED where the destination wants that; an
    automatic one is the network's, marked NOT REVIEWED and never APPROVED. Raises DeliveryFault (final: only a person
    can mend it), NodeFault, UnusableInput (the result is no longer on the node).
    """
    destination = settings.destinations.get(delivery.destination)
    if destination is None:
        raise DeliveryFault(f"{delivery.destination} is no destination of the configuration any more.", final=True)
    if delivery.kind == REVIEWED:
        dataset = _reviewed(node, job, delivery, destination)
    else:
        dataset = finalising.read_rtstruct(fetching.results_part(node, job.node_id, fetching.RTSTRUCT))
        finalising.mark_not_reviewed(dataset, delivery.sop_instance_uid)
    peer = Peer(destination.name, destination.ae_title, destination.host, destination.port, destination.tls)
    answer = store(dataset, peer, settings.node.ae_title, settings.tls)
    return answer.warning or answer.sentence


def _reviewed(node: Node, job: Job, delivery: Delivery, destination: Destination) -> Dataset:
    content = reviewed_set(node, job.node_id, job.id)
    if content is None:
        raise DeliveryFault(
            "The approval of this result is no longer on the node: a newer result was reviewed.", final=True
        )
    dataset = finalising.read_rtstruct(content)
    if str(dataset.SOPInstanceUID) != delivery.sop_instance_uid:
        raise DeliveryFault(
            "The structure set on the node is not the one that was approved: it was not sent.", final=True
        )
    if destination.approval == APPROVED:
        finalising.approve(dataset, delivery.reviewer, datetime.fromisoformat(delivery.review_time))
    return dataset
