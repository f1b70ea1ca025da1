"""hn-segmenter doctor: what this computer has and lacks, each with a fix."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

OK, WARNING, FAULT = "ok", "warning", "fault"
GB = 1e9
# A job of a 512 x 512 x 200 series holds 105 MB of CT and as much of labelmaps; reading it peaks at about 1 GB.
DISK_WARNING, DISK_FAULT = 2 * GB, 0.4 * GB
MEMORY_WARNING = 3 * GB
LIBRARY = ("numpy", "SimpleITK", "pydicom", "contourpy", "pillow", "platformdirs", "rich")
MINIMUM = {"docker": (7, 2), "pydicom": (2, 4), "SimpleITK": (2, 3), "numpy": (1, 26)}


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, ok, warning or fault, what was found, and what to do ("" if ok)."""

    what: str
    state: str
    found: str
    fix: str = ""


def add_parser(sub) -> None:
    parser = sub.add_parser(
        "doctor",
        help="check this computer: engine, image, models, disk, memory, versions",
        description=(
            "Checks what segmenting needs here and says how to mend what is missing. Exit code 1 if something is."
        ),
    )
    parser.add_argument("--docker-host", metavar="URL", help="engine (default: settings, DOCKER_HOST, Docker context)")
    parser.add_argument("--image", metavar="NAME", help="image (default: the settings')")
    parser.add_argument("--contract", choices=("1", "thesis"), help="thesis: the image is a copy of the thesis's")
    parser.add_argument("--config", type=Path, metavar="FILE", help="service.toml: the DICOM connections are tried too")


def run(args, ui) -> int:
    findings = list(examine(args.docker_host, args.image, args.contract))
    if args.config:
        findings += _connections(args.config)
    ui.table(
        ("What", "State", "Found"), [(item.what, item.state, item.found) for item in findings], whole=("What", "State")
    )
    for item in findings:
        if item.fix:  # unbroken, for commands are copied from here
            ui.say(f"{item.what}: {item.fix}")
    ui.result({"findings": [asdict(item) for item in findings]})
    return 1 if any(item.state == FAULT for item in findings) else 0


def examine(docker_host: str | None = None, image: str | None = None, contract: str | None = None) -> Iterator[Finding]:
    """All findings, in the order of the table. Nothing is changed on this computer or the engine."""
    yield _python()
    yield from _packages()
    yield _numpy_of_slicer()
    yield _memory()
    yield _disk()
    settings = _settings()
    yield settings
    on_engine = list(_engine(docker_host, image, contract)) if settings.state == OK else []
    yield from _models() if settings.state == OK else []
    local = _local_runtime()
    docker_works = settings.state == OK and all(item.state != FAULT for item in on_engine)
    for item in on_engine:  # one runtime is enough
        yield _only_warn(item) if local.state == OK else item
    yield local if not docker_works or local.state == OK else _only_warn(local)


def _only_warn(item: Finding) -> Finding:
    return Finding(item.what, WARNING if item.state == FAULT else item.state, item.found, item.fix)


def _python() -> Finding:
    return Finding("Python", OK, f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def _packages() -> Iterator[Finding]:
    for name in LIBRARY:
        try:
            found = version(name)
        except PackageNotFoundError:
            yield Finding(name, FAULT, "missing", f"{_python_command()} -m pip install {name}")
            continue
        if _numbers(found) < MINIMUM.get(name, ()):
            least = ".".join(map(str, MINIMUM[name]))
            yield Finding(name, FAULT, found, f"{_python_command()} -m pip install '{name}>={least}'")
        else:
            yield Finding(name, OK, found)


def _numbers(text: str) -> tuple[int, ...]:
    parts = text.split(".")[:2]
    return tuple(int(part) for part in parts if part.isdigit())


def _python_command() -> str:
    return Path(sys.executable).name if sys.executable else "python"


def _numpy_of_slicer() -> Finding:
    """Slicer's own libraries are compiled against the numpy that it ships: no install may replace it."""
    home = os.environ.get("SLICER_HOME")
    spec = importlib.util.find_spec("numpy")
    if not home or spec is None or not spec.origin:
        return Finding("Slicer's numpy", OK, "this is not Slicer's Python")
    if Path(home).resolve() in Path(spec.origin).resolve().parents:
        return Finding("Slicer's numpy", OK, f"{version('numpy')}, the one in Slicer's folder, left alone")
    return Finding(
        "Slicer's numpy",
        FAULT,
        f"{version('numpy')} from {Path(spec.origin).parent} stands before Slicer's own",
        "Unset PYTHONPATH, or remove that numpy: Slicer needs the one it came with.",
    )


def _memory() -> Finding:
    total = total_memory()
    if total is None:
        return Finding("Memory", WARNING, "not known", "Have at least 4 GB of memory.")
    found = f"{total / GB:.1f} GB in all"
    if total >= MEMORY_WARNING:
        return Finding("Memory", OK, found)
    return Finding(
        "Memory", WARNING, found, "Close other programs while segmenting, or use a computer with 4 GB or more."
    )


def total_memory() -> int | None:
    """Bytes of physical memory; None where the system does not tell."""
    if sys.platform == "win32":
        import ctypes

        kilobytes = ctypes.c_ulonglong()
        told = ctypes.windll.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(kilobytes))
        return kilobytes.value * 1024 if told else None
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _disk() -> Finding:
    from ..settings import jobs_folder

    folder = jobs_folder()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    found = f"{free / GB:.1f} GB free for jobs in {folder}"
    if not os.access(there, os.W_OK):
        return Finding("Disk", FAULT, f"{there} is not writable", "Name another folder in HNSEG_JOBS.")
    if free >= DISK_WARNING:
        return Finding("Disk", OK, found)
    return Finding(
        "Disk",
        FAULT if free < DISK_FAULT else WARNING,
        found,
        "Free space there, or name another folder in HNSEG_JOBS.",
    )


def _engine(docker_host: str | None, image: str | None, contract: str | None) -> Iterator[Finding]:
    from ..errors import HNSegmenterError
    from ..settings import Settings

    try:
        found = version("docker")
    except PackageNotFoundError:
        yield Finding("docker (Python)", FAULT, "missing", f"{_python_command()} -m pip install 'docker>=7.2'")
        return
    new_enough = _numbers(found) >= MINIMUM["docker"]
    fix = "" if new_enough else f"{_python_command()} -m pip install 'docker>=7.2'"
    yield Finding("docker (Python)", OK if new_enough else FAULT, found, fix)
    from ..runtimes import engine

    settings = Settings.load()
    try:
        connection = engine.connect(docker_host or settings.docker_host)
    except HNSegmenterError as fault:
        yield Finding("Docker engine", FAULT, *_parted(fault.sentence))
        return
    if connection.endpoint.unencrypted:
        yield Finding(
            "Docker engine", WARNING, connection.describe(), "The CT goes there unencrypted: set up TLS or ssh."
        )
    else:
        yield Finding("Docker engine", OK, connection.describe())
    yield from _on_engine(connection, image or settings.image, contract, settings.memory)


def _on_engine(connection, image: str, contract: str | None, memory: str) -> Iterator[Finding]:
    from ..errors import HNSegmenterError
    from ..runtimes import containers, images

    try:
        yield Finding("Image", OK, images.inspect(connection, image, contract).describe())
    except HNSegmenterError as fault:
        yield Finding("Image", FAULT, *_parted(fault.sentence))
    try:
        total = connection.client.info()["MemTotal"]
        left = [job for job in containers.find_jobs(connection) if job.ours and not job.in_use]
        wanted = containers.Limits(memory).memory_bytes
    except HNSegmenterError as fault:
        yield Finding("Engine's memory", FAULT, *_parted(fault.sentence))
        return
    found = f"{total / GB:.1f} GB, a container may use {wanted / GB:.1f} GB"
    if total < wanted:
        fix = "Give Docker Desktop more memory (Settings, Resources), or lower memory in the settings."
        yield Finding("Engine's memory", WARNING, found, fix)
    else:
        yield Finding("Engine's memory", OK, found)
    if left:
        found = f"{len(left)} of an earlier run are left on the engine"
        yield Finding("Containers", WARNING, found, "The next segment removes those that nobody asked to keep.")


def _settings() -> Finding:
    from ..errors import HNSegmenterError
    from ..settings import Settings, settings_file

    try:
        Settings.load()
    except HNSegmenterError as fault:
        return Finding("Settings", FAULT, *_parted(fault.sentence))
    return Finding(
        "Settings", OK, str(settings_file()) if settings_file().is_file() else "none saved, the defaults count"
    )


def _local_runtime() -> Finding:
    from ..errors import HNSegmenterError
    from ..runtimes.local import PACKAGES, LocalRuntime, missing_packages

    try:
        LocalRuntime()
    except HNSegmenterError as fault:
        missing = missing_packages()
        fix = f"{_python_command()} -m pip install {' '.join(missing)}" if missing else _parted(fault.sentence)[1]
        return Finding(
            "Network on this computer", FAULT, f"lacks {', '.join(missing)}" if missing else fault.sentence, fix
        )
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES.values())
    return Finding("Network on this computer", OK, f"predict.py with {versions}")


def _models() -> Iterator[Finding]:
    """Every model, all of its files verified; a fault is one that segment would use."""
    from ..errors import HNSegmenterError
    from ..models import all_models, parse, read_folder
    from ..settings import Settings

    chosen = Settings.load().models
    for model in all_models():
        what, count = f"Model {model.title}", len(model.organs)
        try:
            read_folder(model.folder, called=model.title)
        except HNSegmenterError as fault:
            yield Finding(what, FAULT if model.shipped and not chosen else WARNING, *_parted(fault.sentence))
        else:
            yield Finding(what, OK, f"draws {count} organ{'s' if count != 1 else ''}, {model.digest[:19]}")
    for text in chosen:
        try:
            read_folder(parse(text).model.folder, called=text)
        except HNSegmenterError as fault:
            yield Finding(f"In use: {text}", FAULT, *_parted(fault.sentence))
        else:
            yield Finding(f"In use: {text}", OK, "chosen with  hn-segmenter model use")


def _connections(config: Path) -> Iterator[Finding]:
    """The node by its REST interface, then C-ECHO to the node and to every planning system."""
    from ..errors import HNSegmenterError, WrongUsage

    try:
        from ..service.node.client import Node
        from ..service.peers.lights import connections
        from ..service.settings import load
    except ModuleNotFoundError as error:
        yield Finding(
            "DICOM service", FAULT, f"lacks {error.name}", f"{_python_command()} -m pip install 'hn-segmenter[service]'"
        )
        return
    try:
        settings = load(config)
        with Node(settings.node) as node:
            yield Finding("Node, REST", OK, f"Orthanc {node.system()['Version']} at {node.url}")
    except HNSegmenterError as fault:
        yield Finding("Node, REST", FAULT, *_parted(fault.sentence))
        if isinstance(fault, WrongUsage):
            return
    for light in connections(settings):
        said = (light.sentence, "") if light.ok else _parted(light.sentence)
        yield Finding(f"C-ECHO {light.name}", OK if light.ok else FAULT, f"{light.address}: {said[0]}", said[1])


def _parted(sentence: str) -> tuple[str, str]:
    """What is wrong and what to do: our sentences part them with the last colon before a blank."""
    found, colon, fix = sentence.rpartition(": ")
    return (found + ".", fix[:1].upper() + fix[1:]) if colon else (sentence, "")
