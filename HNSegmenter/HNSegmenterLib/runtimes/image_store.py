"""How an image comes onto the engine: from a file or a registry, and into a file; each with progress."""

from __future__ import annotations

import gzip
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import docker.errors

from ..errors import EngineFault, HNSegmenterError, WrongUsage
from ..events import CancelToken, Emit, Event
from .engine import Engine
from .engine_faults import chain, no_space
from .images import Reference, find
from .transfer import CHUNK
from .workers import Stream

MB = 1e6


def load(engine: Engine, file: Path, emit: Emit, cancel: CancelToken) -> list[str]:
    """Load what `docker save` wrote (tar or tar.gz); return the names (or ids) of its images.

    Raises WrongUsage if the file is missing or is no archive, EngineFault if the engine cannot use it, Cancelled.
    """
    _check_archive(file)
    names: list[str] = []
    for message in messages(
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
            for chunk in messages(
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
    for message in messages(
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


def messages(engine: Engine, start: Callable[[], Iterable], doing: str, cancel: CancelToken) -> Iterator:
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
