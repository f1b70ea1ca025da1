"""Which image runs, and under which contract.

A labelled image says its contract, its paths and its model itself. The thesis's image has no labels: it is taken
for what it is by its exact repository or by the user's word, never by a guess.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import docker.errors

from ..errors import EngineFault, WrongUsage
from ..models import ModelInfo, reference
from ..settings import Settings
from .engine import Engine

LABEL = "org.hnsegmenter."
CONTRACT_1, THESIS = "1", "thesis"
THESIS_REPOSITORY = "inesmunoz/hn-segmenter"
THESIS_DATA = "/home/Ines/data"
THESIS_RESULTS = "/home/Ines/HNSegmenter/tmp/segmentations"
# Docker Hub's own repositories may be written with the host.
UNTAGGED = "<none>:<none>"  # how some engines list an image that has lost its name
HUB_HOSTS = ("docker.io/", "index.docker.io/")


@dataclass(frozen=True)
class Reference:
    """An image's name: repository[:tag][@sha256:digest], or a bare digest (repository empty)."""

    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Raises WrongUsage for what cannot be an image's name."""
        digest = r"sha256:[0-9a-f]{64}"
        part = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
        host = r"(?:[A-Za-z0-9.-]+(?::[0-9]+)?/)?"
        pattern = rf"(?P<r>{host}{part}(?:/{part})*)(?::(?P<t>\w[\w.-]{{0,127}}))?(?:@(?P<d>{digest}))?"
        if re.fullmatch(digest, text):
            return cls("", None, text)
        if not (match := re.fullmatch(pattern, text)):
            raise WrongUsage(f"{text!r} is no name of an image: write repository:tag or repository@sha256:digest.")
        return cls(match["r"], match["t"], match["d"])

    @property
    def name(self) -> str:
        """Without the digest."""
        return f"{self.repository}:{self.tag or 'latest'}"

    @property
    def is_thesis(self) -> bool:
        repository = self.repository
        for host in HUB_HOSTS:
            repository = repository.removeprefix(host)
        return repository == THESIS_REPOSITORY


@dataclass(frozen=True)
class ImageInfo:
    """An image that may run. data and results: POSIX paths inside the container; size in bytes."""

    reference: str
    id: str
    contract: str
    data: str
    results: str
    user: str = ""
    model_digest: str = ""
    size: int = 0
    digests: tuple[str, ...] = field(default=())

    @property
    def pinned(self) -> str:
        """The name that can only mean this image: what the settings should hold."""
        if self.digests:
            return self.digests[0]
        repository = Reference.parse(self.reference).repository
        tag = Reference.parse(self.reference).tag
        return f"{repository}{':' + tag if tag else ''}@{self.id}" if repository else self.id

    def describe(self) -> str:
        contract = "the thesis's contract" if self.contract == THESIS else f"contract {self.contract}"
        return f"image {self.reference} ({self.id[:19]}, {contract})"


def default_reference() -> str:
    """The image of the settings."""
    return Settings.load().image


def find(engine: Engine, reference: str) -> dict:
    """What the engine knows of the image (as `docker image inspect`).

    A digest also means the image's own id: an image loaded from a file has no repository digest.
    Raises EngineFault if it is not there or differs from its digest.
    """
    wanted = Reference.parse(reference)
    found = _inspect(engine, reference)
    if found is None and wanted.digest and wanted.repository:
        found = _inspect(engine, wanted.name)
        if found is not None and found["Id"] != wanted.digest:
            raise EngineFault(
                f"The image {wanted.name} on the engine is {found['Id'][:19]}, but {wanted.digest[:19]} is asked for: "
                "load or pull the right one, or correct the digest in the settings."
            )
    if found is None:
        raise EngineFault(missing_sentence(engine, reference))
    return found


def missing_sentence(engine: Engine, reference: str) -> str:
    return (
        f"The image {reference} is not on the Docker engine at {engine.endpoint}: load it from a file "
        f"(hn-segmenter image load FILE), build it (hn-segmenter image build) or pull it "
        f"(hn-segmenter image pull {reference}); or use --runtime local."
    )


def inspect(engine: Engine, reference: str, contract: str | None = None) -> ImageInfo:
    """Decide whether the image may run, and how. contract: "thesis" by the user's word, None to read the labels.

    Raises WrongUsage for an unknown `contract`; EngineFault with the reason if the image is missing or refused.
    """
    if contract not in (None, CONTRACT_1, THESIS):
        raise WrongUsage(f"--contract {contract} is unknown: write 1 or thesis.")
    found = find(engine, reference)
    config = found.get("Config") or {}
    labels = config.get("Labels") or {}
    said = labels.get(LABEL + "contract")
    common = {
        "reference": reference,
        "id": found["Id"],
        "user": config.get("User") or "",
        "model_digest": labels.get(LABEL + "model.digest", ""),
        "size": found.get("Size", 0),
        "digests": tuple(found.get("RepoDigests") or ()),
    }
    if contract == THESIS or (said is None and contract is None and Reference.parse(reference).is_thesis):
        return ImageInfo(contract=THESIS, data=THESIS_DATA, results=THESIS_RESULTS, **common)
    _check_contract(reference, said)
    data, results = labels.get(LABEL + "data", ""), labels.get(LABEL + "results", "")
    _check_paths(reference, data, results, config.get("Volumes") or {})
    if common["user"].split(":")[0] in ("", "0", "root"):
        raise EngineFault(f"The image {reference} runs as root, which contract 1 forbids: build it again with a USER.")
    return ImageInfo(contract=CONTRACT_1, data=data, results=results, **common)


def _check_contract(reference: str, said: str | None) -> None:
    if said is None:
        raise EngineFault(
            f"The image {reference} is no image of HN Segmenter (it has no label {LABEL}contract), so it is not run: "
            "name another with --image, or say --contract thesis if it is a copy of the thesis's image."
        )
    if said != CONTRACT_1:
        raise EngineFault(
            f"The image {reference} follows container contract {said}, this client knows {CONTRACT_1}: "
            "use an image and a client of the same release."
        )


def _check_paths(reference: str, data: str, results: str, volumes: dict) -> None:
    for label, path in (("data", data), ("results", results)):
        if not PurePosixPath(path).is_absolute() or path == "/" or ".." in PurePosixPath(path).parts:
            raise EngineFault(f"The image {reference} has no usable label {LABEL}{label} ({path!r}): build it again.")
        if path.rstrip("/") not in {volume.rstrip("/") for volume in volumes}:
            raise EngineFault(f"The image {reference} has no VOLUME {path}, nothing gets in or out: build it again.")


def _inspect(engine: Engine, reference: str) -> dict | None:
    try:
        return engine.client.inspect_image(reference)
    except docker.errors.ImageNotFound:
        return None
    except Exception as error:
        raise engine.fault(error, f"Looking for the image {reference}") from error


def with_model(engine: Engine, model: ModelInfo, preferred: str) -> ImageInfo:
    """The image that holds a model, told by its digest: the preferred one (the settings'), else any that may run.

    Raises EngineFault if there is none.
    """
    label = f"{LABEL}model.digest={model.digest}"
    try:
        there = engine.client.images(filters={"label": label})
    except Exception as error:
        raise engine.fault(error, "Listing the images") from error
    names = [name for image in there for name in names_of(image)[:1]]
    for name in (preferred, *names):
        try:
            info = inspect(engine, name)
        except (EngineFault, WrongUsage):  # missing, or not to be run: another may
            continue
        if info.model_digest == model.digest:
            return info
    build = "hn-segmenter image build" + ("" if model.shipped else f" --model {reference(model)}")
    raise EngineFault(
        f"No image on the Docker engine at {engine.endpoint} holds the model {model.title}: build one ({build}), or "
        "use --runtime local."
    )


def names_of(image: dict) -> list[str]:
    """Of an image as the engine lists it: its names, or its id where it has lost them."""
    return [name for name in image.get("RepoTags") or [] if name != UNTAGGED] or [image["Id"]]


def our_images(engine: Engine) -> list[dict]:
    """The engine's images that carry our contract label or the thesis's repository, as `docker images` lists them."""
    try:
        labelled = engine.client.images(filters={"label": LABEL + "contract"})
        thesis = engine.client.images(name=THESIS_REPOSITORY)
    except Exception as error:
        raise engine.fault(error, "Listing the images") from error
    return list({image["Id"]: image for image in labelled + thesis}.values())
