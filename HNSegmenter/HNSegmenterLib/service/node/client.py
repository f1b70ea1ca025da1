"""The node's REST interface (Orthanc, through pyorthanc): every failure of it becomes a sentence."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
from pyorthanc import Orthanc

from ...errors import HNSegmenterError
from ..settings import NodeSettings

# Attachments of a series: numbers of user content types, which any Orthanc takes without configuration.
RESULTS, JOB, REVIEW = "4200", "4201", "4202"
RACES = 5  # times that replacing an attachment is tried where others write it too
TIMEOUT = httpx.Timeout(60.0, connect=5.0)


class NodeFault(HNSegmenterError):
    """The node did not do what it was asked; asking again later may help."""


class NotThere(NodeFault):
    """The node has no such series, instance or attachment (any more)."""


class AlreadyThere(NodeFault):
    """Somebody else put or replaced the attachment first."""


@dataclass(frozen=True)
class Change:
    """One entry of the node's log: number (ascending), kind ("StableSeries"), Orthanc's id of the resource."""

    number: int
    kind: str
    resource: str


class Node:
    """One Orthanc. Ids are Orthanc's own (five groups of eight hexadecimal digits), not UIDs.

    Methods raise NotThere or NodeFault; whoever holds one closes it (`with Node(settings.node) as node`).
    """

    def __init__(self, settings: NodeSettings):
        self.url = settings.url.rstrip("/")
        self._client = Orthanc(
            self.url,
            settings.user,
            settings.password(),
            return_raw_response=True,
            timeout=TIMEOUT,
            verify=_authority(settings),
            trust_env=False,
            headers={"Accept-Encoding": "identity"},  # Orthanc would gzip every image: 40 times slower than to send it
        )

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def system(self) -> dict:
        """Name, version and AE title, as Orthanc says them."""
        return self._json(self._client.get_system)

    def echo(self, ae_title: str) -> bool | None:
        """Whether a system answers the node's C-ECHO; None if the node does not know it."""
        known = self._json(self._client.get_modalities, {"expand": ""})
        name = next((name for name, peer in known.items() if peer["AET"].upper() == ae_title.upper()), None)
        if name is None:
            return None
        try:
            self._ask(self._client.post_modalities_id_echo, name, {})
        except NodeFault:
            return False
        return True

    def changes(self, since: int, limit: int = 500) -> tuple[list[Change], int, bool]:
        """Changes after number `since`, the number to go on from, and whether that was all."""
        answer = self._json(self._client.get_changes, {"since": since, "limit": limit})
        found = [Change(item["Seq"], item["ChangeType"], item["ID"]) for item in answer["Changes"]]
        return found, answer["Last"], answer["Done"]

    def last_change(self) -> int:
        """The number of the newest change; smaller than one seen before if the node was set up anew."""
        return self._json(self._client._get, f"{self._client.url}/changes", {"last": ""})["Last"]

    def all_series(self) -> list[str]:
        """Ids of all series of the node."""
        return self._json(self._client.get_series)

    def series(self, series_id: str) -> dict:
        """What Orthanc keeps of a series: ID, IsStable, LastUpdate, MainDicomTags, Instances (ids), ParentStudy, ..."""
        return self._json(self._client.get_series_id, series_id)

    def study_of(self, series_id: str) -> dict:
        """The study above it, with MainDicomTags and PatientMainDicomTags (names: for the screen only)."""
        return self._json(self._client.get_series_id_study, series_id)

    def headers(self, series_id: str) -> dict[str, dict]:
        """Per instance id, its attributes by keyword, short values only (no pixels); values as Orthanc's texts."""
        return self._json(self._client.get_series_id_instances_tags, series_id, {"simplify": ""})

    def sop_instance_uids(self, series_id: str) -> list[str]:
        """Of all instances of a series; from the node's index, without reading a file."""
        found = self._json(self._client.get_series_id_instances, series_id)
        return [item["MainDicomTags"].get("SOPInstanceUID", "") for item in found]

    def instance_headers(self, instance_id: str) -> dict:
        """The attributes of one instance by keyword, as in headers()."""
        return self._json(self._client.get_instances_id_simplified_tags, instance_id)

    def download(self, instance_id: str) -> bytes:
        """The DICOM file of an instance, as it was received."""
        return self._ask(self._client.get_instances_id_file, instance_id).content

    def upload(self, dicom: bytes) -> str:
        """Store a DICOM file in the node; returns the instance's id."""
        return self._json(self._client.post_instances, dicom)["ID"]

    def delete_series(self, series_id: str) -> None:
        self._ask(self._client.delete_series_id, series_id)

    def find_series(self, series_uid: str) -> str | None:
        """The id of the series with that Series Instance UID; None where the node has none."""
        found = self._json(self._client.post_tools_lookup, series_uid)
        return next((item["ID"] for item in found if item["Type"] == "Series"), None)

    def attachments(self, series_id: str) -> list[str]:
        """Names of a series' attachments: RESULTS, JOB, REVIEW where they are there."""
        return self._json(self._client.get_series_id_attachments, series_id)

    def attachment(self, series_id: str, name: str) -> bytes | None:
        """An attachment's bytes; None where it is not there. Raises NotThere where the series is not."""
        if name not in self.attachments(series_id):
            return None
        return self._ask(self._client.get_series_id_attachments_name_data, series_id, name).content

    def versioned(self, series_id: str, name: str) -> tuple[bytes, str] | None:
        """An attachment's bytes and its version (ETag); None where it is not there."""
        if name not in self.attachments(series_id):
            return None
        response = self._ask(self._client.get_series_id_attachments_name_data, series_id, name)
        return response.content, response.headers.get("ETag", "")

    def attach(self, series_id: str, name: str, content: bytes) -> None:
        """Put an attachment in place of an earlier one of that name; readers see the one or the other."""
        for last in (False,) * (RACES - 1) + (True,):
            try:
                self.attach_instead(series_id, name, content, self._version(series_id, name))
                return
            except AlreadyThere:
                if last:
                    raise

    def attach_instead(self, series_id: str, name: str, content: bytes, version: str | None) -> None:
        """Put an attachment only in place of that version, None: only where there is none. Raises AlreadyThere.

        The node compares only if its CheckRevisions is on (system() tells). Raises NotThere where the series is not.
        """
        if version is None:
            # Orthanc 1.10 takes attachments of a series that it has not got, and loses them.
            self.attachments(series_id)
        self._ask(self._client.put_series_id_attachments_name, series_id, name, content, _if_match(version))

    def _version(self, series_id: str, name: str) -> str | None:
        try:
            return self._ask(self._client.get_series_id_attachments_name, series_id, name).headers.get("ETag")
        except NotThere:  # a series that is gone is said by the next request
            return None

    def attach_json(self, series_id: str, name: str, values: dict) -> None:
        self.attach(series_id, name, json.dumps(values, ensure_ascii=False).encode())

    def attached_json(self, series_id: str, name: str) -> dict | None:
        """An attachment that is a JSON object; None where it is not there. Raises NodeFault where it is none."""
        content = self.attachment(series_id, name)
        if content is None:
            return None
        try:
            values = json.loads(content)
        except ValueError:
            values = None
        if not isinstance(values, dict):
            raise NodeFault(f"Attachment {name} of series {series_id} is not a JSON object: delete it in Orthanc.")
        return values

    def detach(self, series_id: str, name: str) -> None:
        """Delete an attachment; nothing happens where it is not there."""
        if version := self._version(series_id, name):
            self._ask(self._client.delete_series_id_attachments_name, series_id, name, _if_match(version))

    def _json(self, method: Callable, *arguments: Any) -> Any:
        try:
            return self._ask(method, *arguments).json()
        except ValueError as error:
            raise NodeFault(f"What answers at {self.url} is no Orthanc: check url in [node].") from error

    def _ask(self, method: Callable, *arguments: Any) -> httpx.Response:
        try:
            response = method(*arguments)
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
            raise NodeFault(_unreachable(self.url, error)) from error
        if response.is_success:
            return response
        raise _refusal(self.url, response.status_code)


def _if_match(version: str | None) -> dict[str, str] | None:
    return {"If-Match": version} if version else None


def _authority(settings: NodeSettings) -> ssl.SSLContext | bool:
    if settings.ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=str(settings.ca_file))
    except (OSError, ssl.SSLError) as error:
        raise NodeFault(
            f"The authority's certificate {settings.ca_file} cannot be used: give a PEM file in ca_file."
        ) from error


def _unreachable(url: str, error: Exception) -> str:
    """The likely cause; nothing of the request is quoted."""
    said = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return f"The node at {url} shows a certificate that is not trusted: name its authority in ca_file."
    if isinstance(error, httpx.ConnectTimeout):
        return f"The node does not answer at {url}: wrong address, or a firewall in between?"
    if isinstance(error, httpx.ConnectError):
        return f"Nothing listens at {url}: is Orthanc running, and are address and port right?"
    if isinstance(error, httpx.TimeoutException):
        return f"The node at {url} took longer than {TIMEOUT.read:.0f} s: is its machine overloaded?"
    return (
        f"The connection to the node at {url} broke ({type(error).__name__}): is Orthanc "
        "running, with HTTP where the address says http?"
    )


def _refusal(url: str, status: int) -> NodeFault:
    if status in (401, 403):
        return NodeFault(
            f"The node at {url} refuses user or password: check user and the password file (or HNSEG_NODE_PASSWORD)."
        )
    if status == 404:
        return NotThere(f"The node at {url} has not got what was asked for: the series may have been deleted there.")
    if status == 409:
        return AlreadyThere("Somebody else changed this at the same moment: look again.")
    if status in (500, 507):
        return NodeFault(f"The node at {url} failed inside (HTTP {status}): is its disk full? See Orthanc's log.")
    return NodeFault(f"The node at {url} answered with HTTP {status}: see Orthanc's log.")
