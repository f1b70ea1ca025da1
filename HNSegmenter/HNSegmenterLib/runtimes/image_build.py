"""The image built from the sources, with the model that came with them or another one in it."""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO

from docker.utils.build import exclude_paths

from .. import __version__
from ..errors import EngineFault, WrongUsage
from ..events import CancelToken, Emit, Event
from ..models import ModelInfo
from .engine import Engine
from .engine_faults import no_space
from .image_store import messages

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
CA_IN_CONTEXT = "proxy-ca.crt"
MODEL_IN_CONTEXT = "hn_network/model"
MODEL_FILES = ("SHA256SUMS", "model.json", "network.onnx", "organs.json")


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
    model: ModelInfo | None = None,
) -> None:
    """Build the image from the folder `sources` (the project's docker/), as `docker build` with the classic builder.

    ca_bundle: certificates of a TLS proxy, for the build alone; network: of the build's steps ("host" behind some
    proxies); model: to be in it in place of the sources' own. Raises WrongUsage for wrong arguments, EngineFault with
    the last line of a failed build, Cancelled.
    """
    if not (sources / "Dockerfile").is_file():
        raise WrongUsage(
            f"There is no Dockerfile in {sources}: name the folder docker/ of the project's sources with --source."
        )
    arguments = _build_arguments(model.folder if model else sources / MODEL_IN_CONTEXT, base_image, index_url)
    bundle = None
    if ca_bundle:
        try:
            bundle = ca_bundle.read_bytes()
        except OSError as error:
            raise WrongUsage(f"The CA bundle {ca_bundle} cannot be read: name a file of PEM certificates.") from error
        arguments["CA_BUNDLE"] = CA_IN_CONTEXT
    emit(Event("progress", "build", 0.0, "packing the sources"))

    def start() -> Iterable[dict]:
        with _context(sources, bundle, model) as context:
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
    for message in messages(engine, start, "Building the image", cancel):
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


@contextmanager
def _context(sources: Path, bundle: bytes | None, model: ModelInfo | None) -> Iterator[IO[bytes]]:
    """The build context as a tar file: what .dockerignore lets in, certificates, and the model."""
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            for name in sorted(_context_files(sources)):
                inside = name.replace(os.sep, "/")
                if model is None or not f"{inside}/".startswith(f"{MODEL_IN_CONTEXT}/"):
                    archive.add(sources / name, inside, recursive=False, filter=_nobodys)
            if model is not None:
                for name in MODEL_FILES:
                    archive.add(model.folder / name, f"{MODEL_IN_CONTEXT}/{name}", filter=_nobodys)
            if bundle is not None:
                member = tarfile.TarInfo(CA_IN_CONTEXT)
                member.size = len(bundle)
                archive.addfile(member, BytesIO(bundle))
        file.seek(0)
        yield file


def _nobodys(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without the owner's name; readable, also where Windows told no mode."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode |= 0o755 if member.isdir() else 0o644
    return member


def _context_files(sources: Path) -> set[str]:
    ignore = sources / ".dockerignore"
    patterns = ignore.read_text(encoding="utf-8").splitlines() if ignore.is_file() else []
    return exclude_paths(str(sources), [line.strip() for line in patterns if line.strip() and not line.startswith("#")])


def _build_arguments(model: Path, base_image: str | None, index_url: str | None) -> dict[str, str]:
    arguments = {name: os.environ[name] for name in PROXY_VARIABLES if os.environ.get(name)}
    arguments["VERSION"] = __version__
    if base_image:
        arguments["BASE_IMAGE"] = base_image
    if index_url:
        arguments["PIP_INDEX_URL"] = index_url
    sums = model / "SHA256SUMS"
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
