"""hn-segmenter model: which networks this computer has, and which of them segment uses."""

from __future__ import annotations

from pathlib import Path

MB = 1e6
SHOWN = 6  # organs of a model in the list; `show` names all
CHOICE = "NAME, NAME@VERSION, or either with organs: NAME:Parotid_L,Parotid_R; or a model folder"


def add_parser(sub) -> None:
    parser = sub.add_parser(
        "model",
        help="add, list, choose or remove networks",
        description="The networks (models) of this computer. The one that came with the program is always there; "
        "others are added from a folder or ZIP of network.onnx, model.json, organs.json and SHA256SUMS.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="add a model from its folder, or from a ZIP of it")
    add.add_argument("source", type=Path, metavar="SOURCE", help="folder or ZIP")
    listing = actions.add_parser("list", help="list the models and what each draws")
    show = actions.add_parser("show", help="tell all of a model, and verify its files")
    show.add_argument("name", metavar="NAME", help="NAME, NAME@VERSION, or a model folder")
    use = actions.add_parser("use", help="choose what segment uses from now on")
    use.add_argument("choices", nargs="*", metavar="CHOICE", help=f"{CHOICE}; several make one structure set")
    use.add_argument("--default", action="store_true", help="back to the model that came with the program")
    remove = actions.add_parser("remove", help="remove a model that was added")
    remove.add_argument("name", metavar="NAME", help="NAME or NAME@VERSION")
    for action in (add, listing, show, use, remove):
        action.add_argument("--json", action="store_true", help="JSON lines on stdout, for scripts")
        action.add_argument("--debug", action="store_true", help="show where an unforeseen fault arose")


def run(args, ui) -> int:
    return {"add": _add, "list": _list, "show": _show, "use": _use, "remove": _remove}[args.action](args, ui)


def _add(args, ui) -> int:
    from .. import models

    known = {model.digest for model in models.all_models()}
    model = models.add(args.source, args.cancel)
    if model.digest in known:
        ui.say(f"{model.title} ({model.digest[:19]}) is there already: nothing was changed.")
    else:
        ui.say(f"Added {model.title} ({model.digest[:19]}), which draws {_organs(model)}.")
        ui.say(f"Use it once:  hn-segmenter segment ... --model {model.name}")
        ui.say(f"From now on:  hn-segmenter model use {model.name}")
    ui.result({"added": model.digest not in known, **_as_dict(model)})
    return 0


def _list(_args, ui) -> int:
    from .. import models

    found = models.all_models()
    chosen = _chosen(found)
    rows = [
        (
            model.name,
            model.version,
            str(len(model.organs)),
            f"{model.size / MB:.1f}",
            model.digest.removeprefix("sha256:")[:12],
            _state(model, model.digest in chosen),
        )
        for model in found
    ]
    if rows:
        ui.lines(("Name", "Version", "Organs", "MB", "Digest", "State"), rows, whole=6)
    else:
        ui.say("No model is on this computer: add one with  hn-segmenter model add FOLDER")
    for model in found:
        ui.say(f"! {model.fault}" if model.fault else f"{model.title} draws {_draws(model)}")
    ui.say(f"Added models are in {models.models_folder()}")
    ui.result({"models": [_as_dict(model) | {"chosen": model.digest in chosen} for model in found]})
    return 0


def _show(args, ui) -> int:
    from .. import models

    found = models.find(args.name)
    model = models.read_folder(found.folder, called=found.title)
    ui.say(f"{model.title}{', which came with the program' if found.shipped else ''}")
    for what, told in (
        ("Digest", model.digest),
        ("Folder", str(model.folder)),
        ("Size", f"{model.size / MB:.1f} MB"),
        ("Method", model.method),
        *((f"Trained: {key}", _told(value)) for key, value in model.trained.items()),
    ):
        ui.say(f"{what}: {told}")
    rows = [
        (
            organ.name,
            organ.label,
            organ.code["meaning"] if organ.code else "",
            organ.laterality["meaning"] if organ.laterality else "",
            "#{:02X}{:02X}{:02X}".format(*organ.color),
        )
        for organ in model.organs
    ]
    ui.table(("Organ", "Label", "Code", "Side", "Colour"), rows)
    ui.say("All of its files match their checksums.")
    ui.result(_as_dict(model) | {"shipped": found.shipped, "trained": model.trained})
    return 0


def _use(args, ui) -> int:
    from dataclasses import replace

    from .. import models
    from ..errors import WrongUsage
    from ..settings import Settings

    if bool(args.choices) == args.default:
        raise WrongUsage("Give the model or models to use, or --default for the one that came with the program.")
    given = models.shares([models.parse(text) for text in args.choices])
    texts = [_kept(text, models.parse(text)) for text in args.choices]
    file = replace(Settings.load(), models=texts).save()
    if not given:
        ui.say(f"segment uses the model that came with the program ({file}).")
    for choice in given:
        organs = ", ".join(choice.organs) if choice.organs else _organs(choice.model)
        ui.say(f"segment uses {choice.model.title} for {organs} from now on ({file}).")
    ui.result({"models": texts})
    return 0


def _remove(args, ui) -> int:
    from .. import models
    from ..errors import HNSegmenterError, WrongUsage
    from ..settings import Settings

    for text in Settings.load().models:
        try:
            chosen = models.parse(text).model
            asked = models.find(args.name)
        except HNSegmenterError:  # damaged or gone: whoever asks for it is told
            continue
        if asked.folder == chosen.folder:
            raise WrongUsage(
                f"{chosen.title} is chosen in the settings: choose another first (hn-segmenter model use NAME, or "
                "--default)."
            )
    model = models.remove(args.name)
    ui.say(f"Removed {model.title}.")
    ui.result(_as_dict(model))
    return 0


def _kept(text: str, choice) -> str:
    """As it is kept: a folder by its whole path, since the settings are read from everywhere."""
    from .. import models

    folder = models.reference(choice.model)
    return text if folder == choice.model.title else str(choice)


def _chosen(found) -> set[str]:
    """Digests of what segment would use now."""
    from .. import models
    from ..errors import HNSegmenterError
    from ..settings import Settings

    texts = Settings.load().models
    if not texts:
        return {model.digest for model in found if model.shipped}
    digests = set()
    for text in texts:
        try:
            digests.add(models.parse(text).model.digest)
        except HNSegmenterError:  # damaged, and listed as such; or gone, which segment says
            continue
    return digests


def _state(model, chosen: bool) -> str:
    if model.fault:
        return "damaged"
    return ", ".join(word for word, true in (("shipped", model.shipped), ("chosen", chosen)) if true)


def _draws(model) -> str:
    more = len(model.organs) - SHOWN
    return ", ".join(model.organ_names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _organs(model) -> str:
    return f"{len(model.organs)} organ{'s' if len(model.organs) != 1 else ''}: {_draws(model)}"


def _told(value: object) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _as_dict(model) -> dict:
    return {
        **model.describe(),
        "folder": str(model.folder),
        "shipped": model.shipped,
        "method": model.method,
        "bytes": model.size,
        "organs": list(model.organ_names),
        "fault": model.fault,
    }
