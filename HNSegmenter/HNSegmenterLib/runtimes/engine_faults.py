"""One sentence for each way in which a request to the Docker engine fails."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

import docker.errors

from ..errors import EngineFault

LOCAL_WAY_OUT = "or use --runtime local"


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error and all that it wraps: causes, contexts, arguments, urllib3's reasons."""
    waiting, seen = [error], set()
    while waiting:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        inner = (current.__cause__, current.__context__, getattr(current, "reason", None), *current.args)
        waiting += [item for item in inner if isinstance(item, BaseException)]


def lost_connection(error: BaseException) -> bool:
    """Whether the engine stopped answering, in place of answering with an error of its own."""
    return not any(isinstance(item, docker.errors.APIError) for item in chain(error))


def no_space(text: str) -> bool:
    return "no space left" in text.lower() or "disk quota exceeded" in text.lower()


def describe_fault(error: Exception, endpoint, doing: str) -> EngineFault:
    """doing: what was tried, as a sentence's subject ("Uploading the CT"); endpoint: its str() names the engine."""
    if isinstance(error, EngineFault):
        return error
    links = list(chain(error))
    for answer in links:
        if isinstance(answer, docker.errors.APIError):
            return EngineFault(_refused(answer, endpoint, doing))
    text = " ".join(str(link) for link in links)
    return EngineFault(_unanswered(links, text, endpoint, doing))


def _refused(error: docker.errors.APIError, endpoint, doing: str) -> str:
    reason = _short(str(error.explanation or error))
    if no_space(reason):
        return (
            f"{doing} failed: the disk of the Docker engine at {endpoint} is full. Free space there (docker system df)."
        )
    if "HTTP request to an HTTPS server" in reason:
        return f"The Docker engine at {endpoint} wants TLS: set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH."
    if "client version" in reason and "too old" in reason:
        return (
            f"The Docker engine at {endpoint} no longer speaks this client's API ({reason}): update the package docker."
        )
    return f"{doing} failed: the Docker engine at {endpoint} says: {reason}."


def _unanswered(links: list[BaseException], text: str, endpoint, doing: str) -> str:
    numbers = {_number(link) for link in links}
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return (
            f"The Docker engine at {endpoint} shows a certificate that ca.pem did not sign, or of another host name: "
            "check DOCKER_CERT_PATH and the address."
        )
    if re.search(
        r"CERTIFICATE_REQUIRED|certificate required|BAD_CERTIFICATE|bad certificate|UNKNOWN_CA", text, re.IGNORECASE
    ):
        return (
            f"The Docker engine at {endpoint} refuses our certificate: "
            "put the cert.pem and key.pem that its administrator made for you into DOCKER_CERT_PATH."
        )
    if "WRONG_VERSION_NUMBER" in text or "record layer failure" in text.lower():
        return (
            f"The Docker engine at {endpoint} does not speak TLS at that port: "
            "check the port, or unset DOCKER_TLS_VERIFY."
        )
    if any(type(link).__name__ == "SSLError" for link in links) or "TLSParameterError" in text:
        return f"No TLS connection to the Docker engine at {endpoint}: check the certificates in DOCKER_CERT_PATH."
    if errno.EACCES in numbers or errno.EPERM in numbers:
        return (
            f"You may not use the Docker engine at {endpoint}: add yourself to the group docker "
            f"(sudo usermod -aG docker $USER, then log in again), {LOCAL_WAY_OUT}."
        )
    if re.search(
        r"name resolution|Name or service not known|getaddrinfo|nodename nor servname|resolve", text, re.IGNORECASE
    ):
        return f"The host of the Docker engine at {endpoint} cannot be found: check its name, {LOCAL_WAY_OUT}."
    if doing != "Connecting":
        return (
            f"{doing} failed: the Docker engine at {endpoint} stopped answering. Start it again and repeat; "
            "a container that stayed behind is removed at the next run."
        )
    if errno.ETIMEDOUT in numbers or re.search(r"timed out|timeout", text, re.IGNORECASE):
        return (
            f"The Docker engine at {endpoint} does not answer in time: "
            f"check that it runs and the network, {LOCAL_WAY_OUT}."
        )
    if numbers & {errno.ENOENT, errno.ECONNREFUSED} or "Connection refused" in text:
        return f"No Docker engine answers at {endpoint}: install or start Docker, {LOCAL_WAY_OUT}."
    return f"The Docker engine at {endpoint} cannot be used ({_short(text)}): check the address, {LOCAL_WAY_OUT}."


def _number(link: BaseException) -> int | None:
    """The errno of an error of this system; pywin32's errors of a Windows pipe are translated."""
    if type(link).__module__ == "pywintypes" and link.args:
        return {2: errno.ENOENT, 5: errno.EACCES, 231: errno.ETIMEDOUT}.get(link.args[0])
    return getattr(link, "errno", None) if isinstance(link, OSError) else None


def _short(text: str, most: int = 300) -> str:
    """One line without a closing full stop."""
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= most else line[: most - 1] + "…"
