"""Ticks in a list of models: what is chosen by them, and what is kept of it."""

from __future__ import annotations

import pytest

from HNSegmenterLib import models
from HNSegmenterLib.models.ticks import Ticks
from Testing.models.made import SHIPPED, TWO_ORGANS, model, parotids


@pytest.fixture
def clinic(tmp_path):
    return models.add(parotids(tmp_path / "clinic"))


@pytest.fixture
def other():
    return models.add(TWO_ORGANS)


def ticks(*chosen: str) -> Ticks:
    return Ticks(models.all_models(), chosen)


def number_of(ticks: Ticks, name: str) -> int:
    return [line.model.name for line in ticks.lines].index(name)


def drawn(ticks: Ticks) -> dict[str, tuple[str, ...] | None]:
    return {share.model.name: share.organs for share in ticks.shares()}


def test_the_shipped_model_is_ticked_where_nothing_was_chosen_and_the_next_release_may_replace_it(clinic):
    there = ticks()
    assert [line.model.name for line in there.lines] == ["hn-densevnet", "clinic-parotids"]
    assert [there.is_ticked(number) for number in range(2)] == [True, False]
    assert there.kept == []
    assert there.texts == [models.shipped_model().title]


def test_what_is_ticked_is_kept_with_its_version_and_found_again(clinic, other):
    there = ticks()
    there.tick(0, False)
    there.tick(number_of(there, "two-organs-test"), True)
    there.tick(number_of(there, "clinic-parotids"), True)
    assert there.kept == there.texts == ["two-organs-test@1", "clinic-parotids@1.0"]
    again = ticks(*there.kept)
    assert again.choices == there.choices
    again.tick(number_of(again, "two-organs-test"), False)
    assert again.texts == ["clinic-parotids@1.0"]


def test_what_a_model_lacks_is_added_and_one_that_adds_nothing_comes_first(clinic, other):
    there = ticks()
    there.tick(number_of(there, "two-organs-test"), True)
    assert drawn(there) == {"hn-densevnet": None, "two-organs-test": None}
    there.tick(number_of(there, "clinic-parotids"), True)
    rest = ("Brainstem", "SpinalCord", "Eye_L", "Eye_R")
    assert drawn(there) == {"clinic-parotids": None, "hn-densevnet": rest, "two-organs-test": None}


def test_two_of_the_same_organs_do_not_go_together(clinic, tmp_path):
    models.add(model(tmp_path / "twin", clinic.folder, name="twin"))
    there = ticks("clinic-parotids")
    there.tick(number_of(there, "twin"), True)
    assert "draws nothing that the other models lack" in there.fault
    there.tick(number_of(there, "clinic-parotids"), False)
    assert there.fault is None


def test_organs_that_were_asked_for_stay_asked_for_until_the_model_is_ticked_anew(clinic):
    there = ticks("clinic-parotids:Parotid_L")
    assert there.texts == ["clinic-parotids@1.0:Parotid_L"]
    there.tick(1, False)
    there.tick(1, True)
    assert there.texts == ["clinic-parotids@1.0"]


def test_some_organs_of_the_shipped_model_are_a_choice():
    assert ticks("hn-densevnet:Eye_L").kept == [f"{models.shipped_model().title}:Eye_L"]


def test_a_model_outside_of_the_store_has_a_line_of_its_own(tmp_path):
    folder = parotids(tmp_path / "elsewhere")
    there = ticks(str(folder))
    assert [line.model.folder for line in there.lines] == [SHIPPED, folder]
    assert [there.is_ticked(number) for number in range(2)] == [False, True]


def test_what_is_gone_or_damaged_is_said_and_not_replaced(clinic):
    (clinic.folder / "organs.json").write_text("{}")
    there = ticks("clinic-parotids", "gone@2")
    assert [line.usable for line in there.lines] == [True, False]
    assert there.choices == []
    assert ["organs.json does not match" in there.missing[0], "no model 'gone@2'" in there.missing[1]] == [True, True]
    there.tick(1, True)
    assert there.choices == []
