"""hn-segmenter serve: a worker of the DICOM node."""

from __future__ import annotations

import os
from pathlib import Path


def add_parser(sub) -> None:
    parser = sub.add_parser(
        "serve",
        help="segment what arrives at the DICOM node",
        description="Runs until it is stopped. Any number of workers may serve one node; they share queue and table.",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="service.toml")


def run(args, ui) -> int:
    from ..service.settings import load
    from ..service.worker.serving import serve

    settings = load(args.config)
    os.environ.setdefault("HNSEG_JOBS", str(settings.worker.folder / "jobs"))
    serve(settings, args.cancel, ui.say)
    return 0
