"""The command import-nnunet: its options, and no more."""

from __future__ import annotations

from pathlib import Path

TEXT = "make a model folder from an nnU-Net v2 result folder, or from the zip of nnUNetv2_export_model_to_zip"


def add_to(sub) -> None:
    """sub: argparse's subparsers."""
    command = sub.add_parser("import-nnunet", help=TEXT, description=TEXT[0].upper() + TEXT[1:] + ".")
    add = command.add_argument
    add("source", type=Path, help="folder TRAINER__PLANS__CONFIGURATION, or the zip")
    add("--out", type=Path, required=True, help="new model folder")
    add(
        "--organs",
        type=Path,
        metavar="MAP",
        help='JSON {"label of the network": "TG-263 name"} or CSV with the columns label and name; "" leaves a label '
        "out; labels that it lacks are named by the table of known labels",
    )
    add("--labels-of", metavar="DATASET", help="the data set whose labels they are, where the table knows several")
    add("--name", help="of the model (default: from the data set's name)")
    add("--version", default="1.0", help="of the model (default: 1.0)")
    add("--configuration", help="where there are several: 3d_fullres or 3d_lowres")
    add("--folds", nargs="+", metavar="N", help="numbers, or all (default: every fold that is there)")
    add("--checkpoint", metavar="FILE", help="in each fold (default: checkpoint_final.pth, else checkpoint_best.pth)")
    add(
        "--axes",
        choices=("LPS", "RAS"),
        help="of the images that it was trained on (default: RAS if nnU-Net's reader turned them to it, else LPS, as "
        "DICOM has them). TotalSegmentator's networks were trained on images turned to RAS: say --axes RAS for them",
    )
    add(
        "--mirroring",
        action="store_true",
        help="mirror while segmenting, as nnU-Net does by default: up to 8 times as long",
    )
    add("--trainer", metavar="NAME", help="vouch for a trainer unknown here: it changes neither network nor prediction")
    command.set_defaults(run=run)


def run(args) -> int:
    from .about import Options
    from .importing import import_nnunet

    chosen = {name: getattr(args, name) for name in Options.__dataclass_fields__}
    print(import_nnunet(args.source, args.out, Options(**chosen)))
    return 0
