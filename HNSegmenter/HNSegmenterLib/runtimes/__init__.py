"""Where the network runs: in a Docker container or on this computer, behind one protocol."""

from __future__ import annotations

from pathlib import Path

from ..errors import EngineFault, HNSegmenterError, WrongUsage
from ..settings import Settings
from .base import JobFolder, Runtime

__all__ = ["JobFolder", "Runtime", "choose"]

CHOICES = ("auto", "docker", "local")


def choose(
    runtime: str = "auto",
    settings: Settings | None = None,
    image: str | None = None,
    docker_host: str | None = None,
    contract: str | None = None,
    model: Path | None = None,
) -> Runtime:
    """The runtime to use; its describe() says which and why.

    model: a model folder other than the one that came with the program, for this computer; an image brings its own.
    "auto" is Docker if an engine answers and holds an image of our contract, else this computer. Raises WrongUsage,
    EngineFault (docker asked for and unusable) or RuntimeFault (this computer lacks what the network needs).
    """
    if runtime not in CHOICES:
        raise WrongUsage(f"There is no runtime {runtime!r}: choose one of {', '.join(CHOICES)}.")
    settings = settings or Settings.load()
    if model and (runtime == "docker" or image):
        raise WrongUsage(
            "A container image brings its own model: leave --model out, or build an image with that model."
        )
    if runtime == "local" and (image or docker_host or contract):
        raise WrongUsage(
            "--image, --docker-host and --contract are for Docker: leave them out, or leave out --runtime local."
        )
    if runtime == "local" or model:
        from .local import LocalRuntime

        return LocalRuntime(model)
    try:
        return _docker(settings, image, docker_host, contract)
    except HNSegmenterError as fault:
        if runtime == "docker" or image or docker_host or contract:
            raise
        from .local import LocalRuntime

        return LocalRuntime(why=f"Docker was not used, since {_lower(fault.sentence)}")


def _docker(settings: Settings, image: str | None, docker_host: str | None, contract: str | None) -> Runtime:
    try:
        from . import engine, images
        from .containers import Limits
        from .docker_runtime import DockerRuntime
    except ImportError as error:
        raise EngineFault("the Python package docker is not installed: run  pip install 'docker>=7.2'") from error
    connection = engine.connect(docker_host or settings.docker_host)
    info = images.inspect(connection, image or settings.image, contract=contract)
    return DockerRuntime(connection, info, Limits(memory=settings.memory, timeout_s=settings.timeout_s))


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:].rstrip(".")
