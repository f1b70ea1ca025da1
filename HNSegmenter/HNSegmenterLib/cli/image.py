"""hn-segmenter image: the container image on the engine, where it comes from and whether it may run."""

from __future__ import annotations

from pathlib import Path

MB = 1e6
LATEST = "hn-segmenter:latest"
ALGORITHM = "sha256:"  # engines take ids without it too


def add_parser(sub) -> None:
    parser = sub.add_parser(
        "image",
        help="load, build, pull or check the container image",
        description="The container image on the Docker engine. After load, build and pull it becomes the image that "
        "segment uses, named with its digest in the settings.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="list our images on the engine")
    load = actions.add_parser("load", help="load an image from a file of docker save (offline, USB stick)")
    load.add_argument("file", type=Path, metavar="FILE", help="tar or tar.gz")
    save = actions.add_parser("save", help="write an image into a file, for another computer")
    save.add_argument("name", metavar="NAME")
    save.add_argument("file", type=Path, metavar="FILE", help="tar, or tar.gz")
    build = actions.add_parser("build", help="build the image from the sources")
    build.add_argument(
        "--source", type=Path, metavar="DIR", help="the project's folder docker/ (default: found by itself)"
    )
    build.add_argument("--model", metavar="NAME", help="a model of this computer, or a model's folder, to be in it")
    build.add_argument(
        "--tag", metavar="NAME", help=f"default: {LATEST}, with another model hn-segmenter:NAME-VERSION of the model"
    )
    build.add_argument("--base", metavar="IMAGE", help="base image with Python (default: the Dockerfile's)")
    build.add_argument(
        "--ca-bundle", type=Path, metavar="FILE", help="PEM certificates of a TLS proxy, for the build alone"
    )
    build.add_argument("--index-url", metavar="URL", help="another Python package index than PyPI")
    build.add_argument("--network", metavar="MODE", help="network of the build's steps, for example host")
    pull = actions.add_parser("pull", help="pull an image from its registry")
    pull.add_argument("name", metavar="NAME", help="repository:tag or repository@sha256:digest")
    check = actions.add_parser("check", help="say whether an image may run, and under which contract")
    check.add_argument("name", metavar="NAME", nargs="?", help="default: the settings' image")
    for action in (listing, load, save, build, pull, check):
        action.add_argument(
            "--docker-host", metavar="URL", help="engine (default: settings, DOCKER_HOST, Docker context)"
        )
        action.add_argument("--json", action="store_true", help="JSON lines on stdout, for scripts")
        action.add_argument("--debug", action="store_true", help="show where an unforeseen fault arose")
    for action in (load, build, pull, check):
        action.add_argument("--contract", choices=("1", "thesis"), help="thesis: it is a copy of the thesis's image")


def run(args, ui) -> int:
    from ..runtimes import engine
    from ..settings import Settings

    connection = engine.connect(args.docker_host or Settings.load().docker_host)
    return {"list": _list, "load": _load, "save": _save, "build": _build, "pull": _pull, "check": _check}[args.action](
        args, ui, connection
    )


def _list(_args, ui, engine) -> int:
    from ..errors import HNSegmenterError
    from ..runtimes import images

    default = images.default_reference()
    rows = []
    for image in images.our_images(engine):
        for name in images.names_of(image):
            try:
                info = images.inspect(engine, name)
                state, digest = f"may run, contract {info.contract}", info.model_digest
            except HNSegmenterError as refused:
                state, digest = refused.sentence, ""
            rows.append((name, round(image["Size"] / MB), image["Id"][:19], _model_of(digest), state, digest))
    if rows:
        ui.say(f"Images of HN Segmenter on {engine.endpoint}; the settings name {default}")
        shown = [
            ("" if name.startswith(ALGORITHM) else name, mb, short.removeprefix(ALGORITHM), *rest)
            for name, mb, short, *rest, _ in rows
        ]
        ui.table(("Name", "MB", "Id", "Model", "State"), shown, whole=("MB", "Id"))
    else:
        ui.say(images.missing_sentence(engine, default))
    keys = ("name", "mb", "id", "model", "state", "model_digest")
    ui.result({"images": [dict(zip(keys, row, strict=True)) for row in rows], "settings": default})
    return 0


def _load(args, ui, engine) -> int:
    from ..runtimes import image_store

    names = image_store.load(engine, args.file, ui.emit, args.cancel)
    return _adopt(names[0], args.contract, ui, engine)


def _save(args, ui, engine) -> int:
    from ..runtimes import image_store, images

    info = images.inspect(engine, args.name)
    image_store.save(engine, args.name, args.file, ui.emit, args.cancel)
    ui.say(f"Saved {info.describe()} to {args.file}.")
    ui.result({"file": str(args.file), "id": info.id})
    return 0


def _build(args, ui, engine) -> int:
    from ..models import network_folder
    from ..runtimes import image_build

    model = _model(args.model)
    tag = args.tag or (f"hn-segmenter:{model.name}-{model.version}".replace("+", "_") if model else LATEST)
    image_build.build(
        engine,
        args.source or network_folder(),
        tag,
        ui.emit,
        args.cancel,
        base_image=args.base,
        ca_bundle=args.ca_bundle,
        index_url=args.index_url,
        network=args.network,
        model=model,
    )
    if model is None or args.tag == LATEST:
        return _adopt(tag, args.contract, ui, engine)
    return _beside(tag, model, ui, engine)


def _model(name: str | None):
    """The model that an image is to hold in place of the sources' own, verified; None for that one."""
    from .. import models

    if name is None:
        return None
    found = models.find(name)
    return None if found.shipped else models.read_folder(found.folder, called=found.title)


def _beside(tag: str, model, ui, engine) -> int:
    """An image of another model: the settings' image stays, and this one is found by its model."""
    from ..models import reference
    from ..runtimes import images

    info = images.inspect(engine, tag)
    ui.say(f"Ready: {info.describe()}, with the model {model.title}.")
    ui.say(f"It is used by  segment --model {reference(model)} , and without --model once that model was chosen.")
    ui.result(_as_dict(info))
    return 0


def _pull(args, ui, engine) -> int:
    from ..runtimes import image_store

    image_store.pull(engine, args.name, ui.emit, args.cancel)
    return _adopt(args.name, args.contract, ui, engine)


def _check(args, ui, engine) -> int:
    from ..runtimes import images

    info = images.inspect(engine, args.name or images.default_reference(), args.contract)
    ui.say(f"May run: {info.describe()}, {info.size / MB:.0f} MB, model {_model_of(info.model_digest)}.")
    ui.result(_as_dict(info))
    return 0


def _adopt(name: str, contract: str | None, ui, engine) -> int:
    """Make it the settings' image, by its digest, if it may run."""
    from dataclasses import replace

    from ..runtimes import images
    from ..settings import Settings

    info = images.inspect(engine, name, contract)
    file = replace(Settings.load(), image=info.pinned).save()
    ui.say(f"Ready: {info.describe()}. segment uses it from now on ({file}).")
    ui.result(_as_dict(info))
    return 0


def _model_of(digest: str) -> str:
    """What this computer calls the model of that digest; else the digest itself."""
    from .. import models

    known = [model.title for model in models.all_models() if digest and model.digest == digest]
    return known[0] if known else digest[:19] or "not told"


def _as_dict(info) -> dict:
    return {
        "name": info.reference,
        "pinned": info.pinned,
        "id": info.id,
        "contract": info.contract,
        "model_digest": info.model_digest,
        "bytes": info.size,
    }
