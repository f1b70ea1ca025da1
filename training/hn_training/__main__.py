"""python -m hn_training train | adapt | curve | ceiling | average | evaluate | tune |
export | unpack | picture | limits | eyes | structures | import-nnunet."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from . import config
from .foreign import command as command_of_nnunet


def main() -> int:
    parser = argparse.ArgumentParser(prog="hn-training", description="Train the network of HN Segmenter and export it.")
    sub = parser.add_subparsers(required=True)
    add(sub, train, "train, or go on from the checkpoint")
    command = add(sub, adapt, "adapt a model folder to the better contours of a few patients")
    command.set_defaults(config=Path("adapt.toml"))
    command.add_argument("model", type=Path, help="model folder, the shipped one for instance")
    command.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder for all that is made: model/, report.md; the same again goes on after a stop",
    )
    command.add_argument("--folds", type=int, default=0, help="cross-validate first: 5 is usual; 0 doesn't")
    command.add_argument("--data", help="what it was trained on, for model.json")
    command.add_argument("--name", help="of the adapted model (default: the name before, and -adapted)")
    command.add_argument("--version", help="of the adapted model (default: the day, as 2026.11.27)")
    command = add(sub, curve, "how much a few patients' contours teach: scores after so many, and after more")
    command.set_defaults(config=Path("adapt.toml"))
    command.add_argument("model", type=Path, help="model folder to start from")
    command.add_argument("--out", type=Path, required=True, help="folder for all that is made; goes on after a stop")
    command.add_argument("--folds", type=int, default=5, help="each patient is scored by those that learn without him")
    command.add_argument("--counts", type=int, nargs="+", required=True, help="of patients who teach, such as 2 4 8")
    command = add(sub, ceiling, "what the better contours themselves would score as fine as a network predicts")
    command.set_defaults(config=Path("adapt.toml"))
    command.add_argument("model", type=Path, help="model folder, for its grid")
    command = add(sub, evaluate, "Dice of the checkpoint on all validation patients, without post-processing")
    command.add_argument("--flip", action="store_true", help="average with the prediction for the mirrored patient")
    command = add(sub, tune, "choose each organ's threshold on training patients, for export")
    command.add_argument("--patients", type=int, default=32)
    command.add_argument("--out", type=Path, required=True, help="JSON file of thresholds")
    command = sub.add_parser("export", help="write a model folder from a checkpoint")
    command.add_argument("checkpoint", type=Path)
    command.add_argument("--out", type=Path, required=True, help="model folder")
    command.add_argument(
        "--data", required=True, help="what it was trained on, for model.json: 'OpenKBP, 170 patients'"
    )
    command.add_argument("--thresholds", type=Path, help="JSON file that tune wrote (default: 0.5 for every organ)")
    command.set_defaults(run=export)
    command = add(
        sub,
        unpack,
        "write a checkpoint for start_from with the network of a model folder, the shipped one for instance",
    )
    command.add_argument("model", type=Path, help="model folder")
    command.add_argument("--out", type=Path, required=True, help="new checkpoint")
    command = add(
        sub, picture, "draw one organ of a validation patient: reference and stored prediction on slices through it"
    )
    command.add_argument("patient")
    command.add_argument("organ", choices=config.ORGANS)
    command.add_argument(
        "--predictions", type=Path, required=True, help="folder of <patient>/segmentations/<organ>.nii.gz"
    )
    command.add_argument("--out", type=Path, required=True, help="PNG file")
    command = add(sub, limits, "two networks against the reference and each other, on the validation patients")
    command.add_argument(
        "first", type=Path, help="folder of <patient>/segmentations/<organ>.nii.gz, as evaluate leaves it"
    )
    command.add_argument("second", type=Path)
    command = sub.add_parser("average", help="write the mean of several runs' weights that started from the same ones")
    command.add_argument("checkpoints", type=Path, nargs="+")
    command.add_argument(
        "--out",
        type=Path,
        required=True,
        help="new checkpoint, for evaluate (as checkpoint.pt), tune, export and start_from",
    )
    command.set_defaults(run=average)
    command = sub.add_parser("eyes", help="copy a data set with the eyes painted into its labels (8 Eye_L, 9 Eye_R)")
    command.add_argument("--data", type=Path, required=True, help="folder of patient folders")
    command.add_argument("--index", type=Path, required=True, help="the data set's index.json")
    command.add_argument("--eyes", type=Path, required=True, help="JSON file of eyes")
    command.add_argument("--out", type=Path, required=True, help="new data set; its index is merged")
    command.add_argument(
        "--scale", type=float, default=1.0, help="of the fitted eyes' radii: 0.95 makes their volumes an oncologist's"
    )
    command.set_defaults(run=eyes)
    command = sub.add_parser(
        "structures", help="print docs/models/structures.md: known labels, their TG-263 names and codes"
    )
    command.set_defaults(run=structures)
    command_of_nnunet.add_to(sub)
    args = parser.parse_args()
    try:
        return args.run(args)
    except (config.ConfigError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2


def add(sub, run, text: str) -> argparse.ArgumentParser:
    command = sub.add_parser(run.__name__, help=text)
    command.add_argument("--config", type=Path, default=Path("config.toml"))
    command.set_defaults(run=run)
    return command


def train(args) -> int:
    from .fitting import loop

    print(loop.train(config.load(args.config)))
    return 0


def adapt(args) -> int:
    from .adapt import settings, whole

    data = args.data or "the data of the model before, then a few patients with better contours"
    print(whole.adapt(args.model, settings.load(args.config), args.out, args.folds, data, args.name, args.version))
    return 0


def curve(args) -> int:
    from .adapt import curve, settings

    print(curve.curve(args.model, settings.load(args.config), args.out, args.folds, args.counts))
    return 0


def ceiling(args) -> int:
    from .adapt import ceiling, settings

    chosen = settings.load(args.config)
    config = settings.training_config(chosen, args.model, Path())
    print(ceiling.markdown(ceiling.scores(chosen, config), config))
    return 0


def evaluate(args) -> int:
    from .scoring import score

    network, settings, history = trained(args.config)
    scores = score.validate(network, settings, args.flip)
    print(f"step {history['steps']}", {organ: round(value, 3) for organ, value in scores.means().items()})
    for organ, (found, patients) in scores.inventions().items():
        print(f"{organ} is known to be absent in {patients} patients, and was found in {found} of them.")
    return 0


def tune(args) -> int:
    from .packing.model_folder import write_json
    from .scoring.score import predict
    from .scoring.tune import thresholds

    network, settings, history = trained(args.config)
    chosen = thresholds(lambda patient: predict(network, patient, settings), settings, args.patients)
    write_json(args.out, chosen)
    print(f"step {history['steps']}", chosen)
    return 0


def trained(path: Path):
    """The averaged network of the configuration's checkpoint, the configuration, and how it came to be."""
    import torch

    from .fitting.loop import CHECKPOINT
    from .packing.export import load_average

    settings = config.load(path)
    torch.set_num_threads(settings.optimise.threads)
    network, _, history = load_average(Path(settings.data.cache) / CHECKPOINT)
    return network, settings, history


def export(args) -> int:
    from .packing.export import export as write

    thresholds = json.loads(args.thresholds.read_text(encoding="utf-8")) if args.thresholds else None
    write(args.checkpoint, args.out, args.data, thresholds)
    print(args.out)
    return 0


def unpack(args) -> int:
    from .packing.unpack import unpack as write

    difference = write(args.model, config.load(args.config), args.out)
    print(f"{args.out} differs from the model by {difference:.1e}")
    return 0


def picture(args) -> int:
    import numpy as np

    from .data.patients import read, read_lps
    from .scoring import examples

    data = config.load(args.config).data
    patient = read(Path(data.validation) / args.patient, data)
    files = [args.predictions / args.patient / "segmentations" / f"{organ}.nii.gz" for organ in config.ORGANS]
    found = [read_lps(file)[0] if file.exists() else np.zeros_like(patient.labels) for file in files]
    examples.draw(patient, np.stack([np.zeros_like(patient.labels), *found]), args.patient, args.out, args.organ)
    print(args.out)
    return 0


def limits(args) -> int:
    from .scoring.limits import markdown, rows

    print(markdown(rows(config.load(args.config), args.first, args.second)))
    return 0


def average(args) -> int:
    from .fitting.average import average as write

    write(args.checkpoints, args.out)
    print(args.out)
    return 0


def eyes(args) -> int:
    from .eyes.eyes import write_split

    print(write_split(args.data, args.index, args.eyes, args.out, args.scale))
    return 0


def structures(_) -> int:
    from .foreign.page import markdown

    print(markdown(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
