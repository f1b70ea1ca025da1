"""Where the network runs: in a Docker container or on this computer, behind one protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..errors import EngineFault, HNSegmenterError, WrongUsage
from ..models import ModelInfo, parse, shares
from ..settings import Settings
from .base import JobFolder, Runtime
from .several import ChosenModels, Part

__all__ = ["ChosenModels", "JobFolder", "Runtime", "choose"]

CHOICES = ("auto", "docker", "local")


def choose(
    runtime: str = "auto",
    settings: Settings | None = None,
    image: str | None = None,
    docker_host: str | None = None,
    contract: str | None = None,
    models: Sequence[str] | None = None,
) -> Runtime:
    """The runtime to use; its describe() says which and why.

    models: choices as text (models.parse), each run after the other; None for those of the settings; empty for what
    this computer or the settings' image has. "auto" is Docker if an engine answers and holds an image of our contract
    (with the chosen model), else this computer. Raises WrongUsage, UnusableModel, EngineFault (docker asked for and
    unusable) or RuntimeFault (this computer lacks what the network needs).
    """
    if runtime not in CHOICES:
        raise WrongUsage(f"There is no runtime {runtime!r}: choose one of {', '.join(CHOICES)}.")
    settings = settings or Settings.load()
    if models and (image or contract):
        raise WrongUsage(
            "A container image brings its own model: leave --model out, or leave out --image and --contract."
        )
    if runtime == "local" and (image or docker_host or contract):
        raise WrongUsage(
            "--image, --docker-host and --contract are for Docker: leave them out, or leave out --runtime local."
        )
    strict = runtime == "docker" or bool(image or docker_host or contract)  # nothing else will do
    if image or contract:
        models = ()
    chosen = shares([parse(text) for text in (settings.models if models is None else models)])
    if docker_host:
        settings = replace(settings, docker_host=docker_host)
    if not chosen:
        return _one(runtime, settings, strict, image, contract)
    return ChosenModels([Part(choice, _one(runtime, settings, strict, model=choice.model)) for choice in chosen])


def _one(
    runtime: str,
    settings: Settings,
    strict: bool,
    image: str | None = None,
    contract: str | None = None,
    model: ModelInfo | None = None,
) -> Runtime:
    """Where one model runs; None: the image's, or the one that came with the program."""
    from .local import LocalRuntime

    folder = model.folder if model is not None and not model.shipped else None
    if runtime == "local":
        return LocalRuntime(folder)
    try:
        return _docker(settings, image, contract, model)
    except HNSegmenterError as fault:
        if strict:
            raise
        return LocalRuntime(folder, why=f"Docker was not used, since {_lower(fault.sentence)}")


def _docker(settings: Settings, image: str | None, contract: str | None, model: ModelInfo | None) -> Runtime:
    try:
        from . import engine, images
        from .containers import Limits
        from .docker_runtime import DockerRuntime
    except ImportError as error:
        raise EngineFault("the Python package docker is not installed: run  pip install 'docker>=7.2'") from error
    connection = engine.connect(settings.docker_host)
    if model is None:
        info = images.inspect(connection, image or settings.image, contract=contract)
    else:
        info = images.with_model(connection, model, settings.image)
    return DockerRuntime(connection, info, Limits(memory=settings.memory, timeout_s=settings.timeout_s))


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:].rstrip(".")
