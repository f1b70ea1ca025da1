"""python -m hn_training train | evaluate | export, all from one configuration file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import config


def main() -> int:
    parser = argparse.ArgumentParser(prog="hn-training", description="Train the network of HN Segmenter and export it.")
    sub = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("train", "train, or go on from the checkpoint"),
        ("evaluate", "Dice of the checkpoint on all validation patients, without post-processing"),
    ):
        command = sub.add_parser(name, help=text)
        command.add_argument("--config", type=Path, default=Path("config.toml"))
    command = sub.add_parser("export", help="write a model folder from a checkpoint")
    command.add_argument("checkpoint", type=Path)
    command.add_argument("--out", type=Path, required=True, help="model folder")
    command.add_argument("--data", required=True, help="what it was trained on, for model.json: 'OpenKBP, 170 patients'")
    args = parser.parse_args()
    return {"train": train, "evaluate": evaluate, "export": export}[args.command](args)


def train(args) -> int:
    from . import loop

    print(loop.train(config.load(args.config)))
    return 0


def evaluate(args) -> int:
    from . import loop, score
    from .export import load_average

    settings = config.load(args.config)
    network, _, step = load_average(Path(settings.data.cache) / loop.CHECKPOINT)
    scores = score.means(score.validate(network, settings))
    print(f"step {step}", {organ: round(value, 3) for organ, value in scores.items()})
    return 0


def export(args) -> int:
    from .export import export as write

    write(args.checkpoint, args.out, args.data)
    print(args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
