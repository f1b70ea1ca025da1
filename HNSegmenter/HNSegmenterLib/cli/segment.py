"""hn-segmenter segment: a DICOM folder or a NIfTI file in, a folder of results out."""

from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path

REVIEW = "Research software: a clinician must review every contour."


def add_parser(sub) -> None:
    parser = sub.add_parser(
        "segment",
        help="contour the organs at risk of one CT",
        description=(
            "Writes rtstruct.dcm (for DICOM), segmentations/<organ>.nii.gz, result.json and overview.png into OUT."
        ),
    )
    parser.add_argument("input", type=_named, metavar="INPUT", help="DICOM folder, or a CT as .nii or .nii.gz")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder for the results")
    parser.add_argument("--series", metavar="UID", help="Series Instance UID of the CT, where INPUT has several")
    parser.add_argument(
        "--names", type=Path, metavar="FILE", help="table of the clinic's own structure names (JSON or CSV)"
    )
    parser.add_argument(
        "--overview",
        metavar="ORGAN,ORGAN",
        help="organs that overview.png shows, or all (default: all; of more than 12, those that the checks remark on "
        "first)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace earlier results in OUT")
    add_runtime_options(parser)


def add_runtime_options(parser) -> None:
    """Options of every command that runs the network."""
    parser.add_argument("--runtime", choices=("auto", "docker", "local"), help="where the network runs (default: auto)")
    parser.add_argument("--image", metavar="NAME", help="container image, best with its digest: name@sha256:...")
    parser.add_argument("--docker-host", metavar="URL", help="Docker engine: unix://, npipe://, tcp:// or ssh://")
    parser.add_argument(
        "--model",
        action="append",
        metavar="CHOICE",
        help="another model: its name, NAME@VERSION, NAME:Organ,Organ, or its folder; given several times, each adds "
        "the organs that those before lack (default: the settings', see  hn-segmenter model use)",
    )
    parser.add_argument(
        "--contract", choices=("thesis",), help="run an image without labels the way the thesis's is run"
    )


def choose_runtime(args):
    """The runtime that the options and the settings ask for."""
    from ..runtimes import choose
    from ..settings import Settings

    settings = Settings.load()
    return choose(args.runtime or settings.runtime, settings, args.image, args.docker_host, args.contract, args.model)


def _named(text: str) -> Path:
    if not text:
        raise ArgumentTypeError("is empty")
    return Path(text)


def run(args, ui) -> int:
    from ..errors import WrongUsage
    from ..pipeline import is_nifti, segment

    if is_nifti(args.input) and (args.series or args.names):
        raise WrongUsage(
            "--series and --names are for DICOM: a NIfTI file has no series and gets no RTSTRUCT. Leave them out."
        )

    runtime = choose_runtime(args)
    ui.say(runtime.describe())
    outcome = segment(
        args.input,
        args.output,
        runtime,
        series_uid=args.series,
        names=read_names(args.names),
        shown=_shown(args.overview),
        overwrite=args.overwrite,
        emit=ui.emit,
        cancel=args.cancel,
    )
    show(outcome, ui)
    return 0


def show(outcome, ui) -> None:
    """The table of organs, the warnings and where the files are."""
    from ..pipeline import organ_rows
    from ..result import model_name

    result = outcome.result
    if len(result.models) > 1:
        rows = [
            (name, model_name(organ.model), *rest)
            for organ, (name, *rest) in zip(result.organs, organ_rows(result.organs), strict=True)
        ]
        ui.table(("Organ", "Model", "Volume (ml)", "Status", "To look at"), rows)
    else:
        ui.table(("Organ", "Volume (ml)", "Status", "To look at"), organ_rows(result.organs))
    for warning in result.warnings:
        if warning not in ui.warned:
            ui.say(f"! {warning}")
    for path in filter(None, (outcome.rtstruct, outcome.overview)):
        ui.say(str(path.absolute()))
    ui.say(REVIEW)
    ui.result({"output": str(outcome.out.absolute()), **result.to_dict()})


def _shown(text: str | None) -> list[str]:
    return [name for part in (text or "").split(",") if (name := part.strip())]


def read_names(path: Path | None):
    from ..settings import Settings

    path = path or (Path(chosen) if (chosen := Settings.load().names) else None)
    if path is None:
        return None
    from ..rtstruct.names import NameTable

    return NameTable.read(path)
