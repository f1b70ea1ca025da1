"""A made-up patient in a scene, with results: fixtures of the scene tests, to be imported by name."""

from __future__ import annotations

import pytest

from HNSegmenterLib import scene as hn
from Testing.rtstruct.help import head_organs, make_ct
from Testing.scene.help import add_ct, new_scene, write_results

SHAPE, SPACING, ORIGIN = (24, 96, 96), (2.5, 2.5, 3.0), (-118.71, -130.123456, -40.777)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("patient") / "ct"


@pytest.fixture(scope="module")
def ct(folder):
    return make_ct(folder, SHAPE, SPACING, origin=ORIGIN)


@pytest.fixture(scope="module")
def drawn(ct):
    return head_organs(ct)


@pytest.fixture(scope="module")
def results(drawn, tmp_path_factory):
    home = tmp_path_factory.mktemp("results")
    write_results(home, drawn)
    return home


@pytest.fixture
def scene():
    return new_scene()


@pytest.fixture
def volume(scene, ct):
    return add_ct(scene, ct)


@pytest.fixture
def node(results, volume):
    return hn.show_results(results, volume)
