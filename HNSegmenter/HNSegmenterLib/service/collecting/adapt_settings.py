"""adapt.toml for a collection: what training/adapt.toml proposes, with the collection's own patients and organs."""

from __future__ import annotations

import json
from collections.abc import Mapping

_TEXT = """\
# Written with the collection, for  python -m hn_training adapt MODEL --config adapt.toml --out ADAPTED --folds 5
# What each line means is in training/adapt.toml. Paths are relative to this file.

[patients]
folder = "{folder}"
index = "{index}"
hands = ["{hand}"]
[patients.labels]
{labels}

[augment]
rotation_deg = 15.0
scale = 0.12
flip = 0.5
blank = 0.5
blank_box = 0.15
fill = 0.4
couch = 0.3
mask = 0.2
blur = 0.2
noise_hu = 30.0
offset_hu = 30.0
gain = 0.1

[optimise]
seed = 1
steps = 500
minutes = 0
batch = 2
learning_rate = 2e-3
weight_decay = 1e-4
warmup_steps = 60
ema = 0.995
threads = 2
workers = 1
device = "cpu"
checkpoint_s = 120

[stop]
# Nobody is set aside for early stopping: of so few patients each is worth more as a lesson. --folds finds thresholds.
one_in = 0
look_every = 125
patience = 5
"""


def adapt_toml(folder: str, index: str, hand: str, labels: Mapping[str, int]) -> str:
    """labels: value of each organ, by TG-263 name."""
    lines = "\n".join(f"{json.dumps(name)} = {value}" for name, value in labels.items())
    return _TEXT.format(folder=folder, index=index, hand=hand, labels=lines)
