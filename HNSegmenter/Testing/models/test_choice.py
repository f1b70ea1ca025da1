"""What a user chooses, and which organs then come from which model."""

from __future__ import annotations

import pytest

from HNSegmenterLib import models
from HNSegmenterLib.errors import WrongUsage
from Testing.models.made import SHIPPED, TWO_ORGANS, model, parotids


@pytest.fixture
def clinic(tmp_path):
    return models.add(parotids(tmp_path / "clinic"))


def test_names_versions_folders_and_organs(clinic, tmp_path):
    assert models.parse("clinic-parotids") == models.Choice(clinic)
    chosen = models.parse("clinic-parotids@1.0:Parotid_R, Parotid_R,Parotid_L")
    assert chosen == models.Choice(clinic, ("Parotid_R", "Parotid_L"))
    assert str(chosen) == "clinic-parotids@1.0:Parotid_R,Parotid_L"
    assert models.parse(f"{TWO_ORGANS}:Brain").organs == ("Brain",)
    colon = model(tmp_path / "with:colon")
    assert models.parse(str(colon)).model.folder == colon
    assert models.parse(f"{colon}:Brain").organs == ("Brain",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nothing", "There is no model 'nothing'"),
        ("nothing:Brain", "There is no model 'nothing'"),
        ("clinic-parotids:", "names no organs after its colon"),
        ("clinic-parotids:Brain", "draws no Brain, only Parotid_L, Parotid_R"),
        (r"C:\models\mine", r"There is no model"),
        ("", "There is no model ''"),
        ("clinic-parotids:" + "Organ," * 100, "draws no Organ, only"),
    ],
)
def test_choices_that_are_none(clinic, text, said):
    with pytest.raises(WrongUsage, match=said):
        models.parse(text)


def drawn(*texts: str) -> list[tuple[str, tuple[str, ...] | None]]:
    return [(share.model.name, share.organs) for share in models.shares([models.parse(text) for text in texts])]


def test_the_first_that_draws_an_organ_gives_it(clinic):
    two = str(TWO_ORGANS)
    assert drawn("hn-densevnet", two) == [("hn-densevnet", None), ("two-organs-test", None)]
    rest = ("Brainstem", "SpinalCord", "Eye_L", "Eye_R")
    assert drawn("clinic-parotids", "hn-densevnet") == [("clinic-parotids", None), ("hn-densevnet", rest)]


def test_organs_that_were_asked_for_come_from_where_they_were_asked(clinic):
    rest = ("Brainstem", "SpinalCord", "Parotid_R", "Eye_L", "Eye_R")
    assert drawn("hn-densevnet", "clinic-parotids:Parotid_L") == [
        ("hn-densevnet", rest),
        ("clinic-parotids", ("Parotid_L",)),
    ]
    assert drawn("clinic-parotids:Parotid_L,Parotid_R") == [("clinic-parotids", None)]
    assert drawn("hn-densevnet:Eye_L", "clinic-parotids") == [("hn-densevnet", ("Eye_L",)), ("clinic-parotids", None)]


def test_names_that_differ_in_capitals_alone_are_one_organ(clinic, tmp_path):
    loud = model(tmp_path / "l", change=lambda _, organs: [one.update(name=one["name"].upper()) for one in organs])
    with pytest.raises(WrongUsage, match="draws nothing that the other models lack"):
        drawn(str(TWO_ORGANS), str(loud))


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (("hn-densevnet", "clinic-parotids"), "clinic-parotids@1.0 draws nothing that the other models lack"),
        (("clinic-parotids", "hn-densevnet:Parotid_L,Parotid_R"), "clinic-parotids@1.0 draws nothing"),
        (("hn-densevnet:Parotid_L", "clinic-parotids:Parotid_L"), "Parotid_L was asked of two models"),
        (("hn-densevnet:Eye_L", "hn-densevnet:Eye_R"), "was given twice"),
        (("hn-densevnet", str(SHIPPED)), "was given twice"),
    ],
)
def test_models_that_do_not_go_together(clinic, texts, said):
    with pytest.raises(WrongUsage, match=said):
        drawn(*texts)
