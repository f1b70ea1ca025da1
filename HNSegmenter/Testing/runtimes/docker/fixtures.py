"""Fixtures of the Docker tests: an engine, and the proof that nothing is left on it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from HNSegmenterLib.errors import HNSegmenterError
from HNSegmenterLib.runtimes import containers, images
from HNSegmenterLib.runtimes.engine import Engine, connect
from Testing.machine import require, wait_for
from Testing.runtimes.docker.daemon import Daemon, make_certificates
from Testing.runtimes.docker.support import BASE, child_of, parent_of, remove_images, state_of


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """This machine's engine, with the base image of the test images, which are removed after the module."""
    try:
        found = connect()
        images.find(found, BASE)
    except HNSegmenterError as fault:
        require(False, f"a Docker engine with the image {BASE} (.ci/docker-base.sh makes both; {fault})")
    yield found
    remove_images(found.client)


@pytest.fixture
def nothing_left(engine):
    """After the test: no container, no volume, no record more than before."""
    before = state_of(engine.client)
    yield
    wait_for(lambda: all(not now - then for now, then in zip(state_of(engine.client), before, strict=True)))
    assert containers.list_records() == []


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    require(shutil.which("openssl") is not None, "the program openssl")
    return make_certificates(tmp_path_factory.mktemp("certificates") / "pem")


@pytest.fixture(scope="module")
def second_engine(engine, certificates):
    """A Daemon that may be killed, frozen and filled, with the test images `late`, `slow` and `full`."""
    require(os.geteuid() == 0 and shutil.which("dockerd") is not None, "root and the program dockerd")
    with Daemon(certificates) as daemon:
        daemon.take_image(engine.client, parent_of(engine.client))
        client = connect(daemon.url).client
        for way in ("ok", "late", "slow", "full"):
            child_of(client, way)
        client.close()
        yield daemon
