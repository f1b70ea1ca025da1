"""How an image comes onto the engine: from a file, from the sources, from a registry; each with progress."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import tarfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import docker.errors
from docker.utils.build import create_archive, exclude_paths

from .. import __version__
from ..errors import EngineFault, HNSegmenterError, WrongUsage
from ..events import CancelToken, Emit, Event
from .engine import Engine
from .engine_faults import chain, no_space
from .images import Reference, find
from .transfer import CHUNK
from .workers import Stream

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
CA_IN_CONTEXT = "proxy-ca.crt"
MB = 1e6


def load(engine: Engine, file: Path, emit: Emit, cancel: CancelToken) -> list[str]:
    """Load what `docker save` wrote (tar or tar.gz); return the names (or ids) of its images.

    Raises WrongUsage if the file is missing or is no archive, EngineFault if the engine cannot use it, Cancelled.
    """
    _check_archive(file)
    names: list[str] = []
    for message in _messages(
        engine, lambda: engine.client.load_image(_read(file, emit, cancel)), "Loading the image", cancel
    ):
        if error := message.get("error"):
            raise EngineFault(_load_sentence(file, error))
        if match := re.match(r"Loaded image(?: ID)?: (\S+)", message.get("stream", "")):
            names.append(match[1])
    if not names:
        raise EngineFault(f"The file {file} holds no image: write it again with  docker save IMAGE -o FILE.")
    return names


def _check_archive(file: Path) -> None:
    try:
        with tarfile.open(file, "r:*") as archive:
            if archive.next() is not None:
                return
    except OSError as error:
        if not isinstance(error, gzip.BadGzipFile):
            raise WrongUsage(f"The file {file} cannot be read ({error.strerror}): check its name.") from error
    except (tarfile.TarError, EOFError):
        pass
    raise WrongUsage(
        f"The file {file} is no saved image (tar or tar.gz): write it again with  docker save IMAGE -o FILE."
    )


def _load_sentence(file: Path, reason: str) -> str:
    if no_space(reason):
        return "The disk of the Docker engine is full: free space there (docker system df) and load the image again."
    return (
        f"The file {file} is no whole image ({' '.join(reason.split())[:200]}): "
        "copy it again, or write it again with  docker save IMAGE -o FILE."
    )


def _read(file: Path, emit: Emit, cancel: CancelToken) -> Iterator[bytes]:
    size, sent = file.stat().st_size, 0
    with file.open("rb") as source:
        while chunk := source.read(CHUNK):
            cancel.raise_if_cancelled()
            yield chunk
            sent += len(chunk)
            emit(Event("progress", "load", min(sent / size, 0.99), f"{sent / MB:.0f} of {size / MB:.0f} MB"))


def save(engine: Engine, reference: str, file: Path, emit: Emit, cancel: CancelToken) -> None:
    """Write an image into a tar file, gzipped if its name ends in .gz; beside it first, then renamed."""
    partial = file.with_name(file.name + ".part")
    opened = gzip.open if file.suffix == ".gz" else open
    size = find(engine, reference)["Size"]
    written = 0
    try:
        with opened(partial, "wb") as target:
            for chunk in _messages(
                engine, lambda: engine.client.get_image(reference, CHUNK), "Saving the image", cancel
            ):
                target.write(chunk)
                written += len(chunk)
                emit(Event("progress", "save", min(written / size, 0.99), f"{written / MB:.0f} MB"))
        partial.replace(file)
    except OSError as error:
        raise EngineFault(
            f"The image cannot be written to {file} ({error.strerror}): free space or name another file."
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def pull(engine: Engine, reference: str, emit: Emit, cancel: CancelToken) -> None:
    """Pull an image from its registry, with the progress of all its layers in % and MB. Never called unasked.

    Raises WrongUsage for a name that is none, EngineFault with the registry's reason, Cancelled.
    """
    wanted = Reference.parse(reference)
    if not wanted.repository:
        raise WrongUsage(f"A pull needs the repository's name, {reference} is a digest alone.")
    tag = wanted.digest or wanted.tag or "latest"
    layers: dict[str, tuple[int, int]] = {}
    doing = f"Pulling {reference}"
    for message in _messages(
        engine, lambda: engine.client.pull(wanted.repository, tag=tag, stream=True, decode=True), doing, cancel
    ):
        if error := message.get("error"):
            raise EngineFault(_pull_sentence(reference, error))
        detail = message.get("progressDetail") or {}
        if message.get("status") == "Downloading" and detail.get("total"):
            layers[message["id"]] = (detail["current"], detail["total"])
        elif message.get("status") in ("Download complete", "Pull complete") and message.get("id") in layers:
            total = layers[message["id"]][1]
            layers[message["id"]] = (total, total)
        if layers:
            done, total = (sum(values) for values in zip(*layers.values(), strict=True))
            emit(Event("progress", "pull", min(done / total, 0.99), f"{done / MB:.0f} of {total / MB:.0f} MB"))


def _pull_sentence(reference: str, reason: str) -> str:
    text = " ".join(reason.split())
    if no_space(text):
        return "The disk of the Docker engine is full: free space there (docker system df) and pull again."
    if re.search("not found|manifest unknown|repository does not exist|denied", text, re.IGNORECASE):
        return (
            f"The registry does not hand out {reference} ({text[:200]}): check the name, or log in with docker login; "
            "an image in a file is loaded with  hn-segmenter image load FILE."
        )
    return (
        f"{reference} cannot be pulled ({text[:200]}): check the engine's network and proxy, or load the image from a "
        "file  (hn-segmenter image load FILE)."
    )


def build(
    engine: Engine,
    sources: Path,
    tag: str,
    emit: Emit,
    cancel: CancelToken,
    base_image: str | None = None,
    ca_bundle: Path | None = None,
    index_url: str | None = None,
    network: str | None = None,
) -> None:
    """Build the image from the folder `sources` (the project's docker/), as `docker build` with the classic builder.

    ca_bundle: certificates of a TLS proxy, for the build alone; network: of the build's steps ("host" behind some
    proxies). Raises WrongUsage for wrong arguments, EngineFault with the last line of
    a failed build, Cancelled.
    """
    if not (sources / "Dockerfile").is_file():
        raise WrongUsage(
            f"There is no Dockerfile in {sources}: name the folder docker/ of the project's sources with --source."
        )
    arguments = _build_arguments(sources, base_image, index_url)
    extra = []
    if ca_bundle:
        try:
            extra.append((CA_IN_CONTEXT, ca_bundle.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise WrongUsage(f"The CA bundle {ca_bundle} cannot be read: name a file of PEM certificates.") from error
        arguments["CA_BUNDLE"] = CA_IN_CONTEXT
    emit(Event("progress", "build", 0.0, "packing the sources"))

    def start() -> Iterable[dict]:
        with create_archive(str(sources), sorted(_context_files(sources)), extra_files=extra) as context:
            yield from engine.client.build(
                fileobj=context,
                custom_context=True,
                tag=tag,
                buildargs=arguments,
                network_mode=network,
                rm=True,
                forcerm=True,
                decode=True,
            )

    lines: deque[str] = deque([""], maxlen=40)
    for message in _messages(engine, start, "Building the image", cancel):
        if failure := message.get("error"):
            raise EngineFault(_build_sentence(failure, lines))
        line = (message.get("stream") or message.get("status") or "").strip()
        if not line:
            continue
        if match := re.match(r"Step (\d+)/(\d+) : (\w+)", line):
            emit(
                Event(
                    "progress",
                    "build",
                    (int(match[1]) - 1) / int(match[2]),
                    f"step {match[1]} of {match[2]} ({match[3]})",
                )
            )
        elif not line.startswith(("--->", "Removing intermediate container")):
            lines.append(line)


def _context_files(sources: Path) -> set[str]:
    ignore = sources / ".dockerignore"
    patterns = ignore.read_text(encoding="utf-8").splitlines() if ignore.is_file() else []
    return exclude_paths(str(sources), [line.strip() for line in patterns if line.strip() and not line.startswith("#")])


def _build_arguments(sources: Path, base_image: str | None, index_url: str | None) -> dict[str, str]:
    arguments = {name: os.environ[name] for name in PROXY_VARIABLES if os.environ.get(name)}
    arguments["VERSION"] = __version__
    if base_image:
        arguments["BASE_IMAGE"] = base_image
    if index_url:
        arguments["PIP_INDEX_URL"] = index_url
    sums = sources / "hn_network" / "model" / "SHA256SUMS"
    if not sums.is_file():
        raise WrongUsage(
            f"There is no model in {sums.parent}, an image without one cannot work: put a trained model there."
        )
    arguments["MODEL_DIGEST"] = "sha256:" + hashlib.sha256(sums.read_bytes()).hexdigest()
    return arguments


def _build_sentence(error: str, lines: Iterable[str]) -> str:
    """lines: the last ones that the build's own commands wrote."""
    text, said = " ".join(error.split()), "\n".join(lines)
    if no_space(text + said):
        return "The disk of the Docker engine is full: free space there (docker system df) and build again."
    if re.search("CERTIFICATE_VERIFY_FAILED|certificate verify failed", said):
        return "The build does not trust the network's TLS proxy: give its certificates with --ca-bundle FILE."
    if re.search("pull access denied|manifest unknown|not found: manifest|registry|https?://[^ ]+/v2/", text):
        return (
            f"The base image cannot be had ({text[:200]}): load it first (docker "
            "load), or name one here with --base IMAGE."
        )
    return f"The build failed ({text[:200]}). Its last line: {said.splitlines()[-1][:200] if said else 'none'}"


def _messages(engine: Engine, start: Callable[[], Iterable], doing: str, cancel: CancelToken) -> Iterator:
    """What the engine streams; a cancel takes effect between two messages, also when none come."""
    try:
        for message in Stream(start):
            cancel.raise_if_cancelled()
            if message is not None:
                yield message
    except HNSegmenterError:
        raise
    except Exception as error:
        for answer in chain(error):
            if isinstance(answer, docker.errors.APIError) and answer.explanation and doing.startswith("Pulling"):
                raise EngineFault(_pull_sentence(doing.removeprefix("Pulling "), str(answer.explanation))) from error
        raise engine.fault(error, doing) from error
