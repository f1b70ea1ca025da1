"""The settings that come with a collection are those that training/adapt.toml proposes."""

from __future__ import annotations

import tomllib

from HNSegmenterLib.service.collecting.adapt_settings import adapt_toml
from Testing.machine import ROOT


def test_they_are_those_of_training():
    proposed = tomllib.loads((ROOT / "training" / "adapt.toml").read_text())
    written = tomllib.loads(adapt_toml("patients", "index.json", "approved", {"Brainstem": 1, 'a "b"': 7}))
    assert written["patients"] == {
        "folder": "patients", "index": "index.json", "hands": ["approved"], "labels": {"Brainstem": 1, 'a "b"': 7},
    }  # fmt: skip
    for table in ("augment", "optimise", "stop"):
        assert {**written[table], "seed": 0} == {**proposed[table], "seed": 0}, table
    assert len(str(written["optimise"]["seed"])) < 8, "a number that looks like a date is no number for a collection"
