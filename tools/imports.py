"""The plan of the house: which file imports which, and whether import_rules.toml allows it.

    python -m tools.imports    prints what is amiss
Imports within functions and for type checkers alone count like those at the top. So do modules that a file loads by
their names with import_module: every string in such a file that is the name of a module beside or below it.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Folders that are on Python's path when their files run -> what in them is ours.
PATHS = {
    "HNSegmenter": ("HNSegmenter.py", "HNSegmenterLib", "HNSegmenterWidgets"),
    "docker": ("predict.py", "hn_network", "node"),
    "training": ("hn_training", "fixtures"),
    "": ("tools",),
}


@dataclass(frozen=True)
class Room:
    """One entry of import_rules.toml."""

    name: str
    what: str
    places: tuple[str, ...]
    imports: tuple[str, ...]
    packages: tuple[str, ...]


@dataclass(frozen=True)
class File:
    """A Python file: the files of ours and the names of others' packages that it imports."""

    path: str
    files: frozenset[str]
    packages: frozenset[str]


def rooms(path: Path = ROOT / "tools" / "import_rules.toml") -> list[Room]:
    """From the ground up. Raises ValueError where a room may import one that is not below it."""
    found: list[Room] = []
    for entry in tomllib.loads(path.read_text(encoding="utf-8"))["room"]:
        if above := set(entry["imports"]) - {room.name for room in found}:
            raise ValueError(f"{entry['name']} stands below {', '.join(sorted(above))}: it may not import that.")
        found.append(
            Room(entry["name"], entry["is"], *(tuple(entry[key]) for key in ("places", "imports", "packages")))
        )
    return found


def read(root: Path = ROOT) -> list[File]:
    """All files, by path."""
    modules: dict[str, str] = {}
    for folder, names in PATHS.items():
        for name in names:
            place = root / folder / name
            for path in [place] if place.is_file() else sorted(place.rglob("*.py")):
                parts = path.relative_to(root / folder).with_suffix("").parts
                modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.relative_to(root).as_posix()
    return sorted((_read(root, module, path, modules) for module, path in modules.items()), key=lambda file: file.path)


def _read(root: Path, module: str, path: str, modules: dict[str, str]) -> File:
    tree = ast.parse((root / path).read_text(encoding="utf-8"))
    package = module if path.endswith("__init__.py") else module.rpartition(".")[0]
    named: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join(above + base.split(".")).rstrip(".")
            named |= {f"{base}.{alias.name}" if f"{base}.{alias.name}" in modules else base for alias in node.names}
    if any(isinstance(node, ast.Name) and node.id == "import_module" for node in ast.walk(tree)):
        texts = {
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        named |= {name for text in texts if (name := f"{package}.{text}") in modules}
    ours = {modules[name] for name in named if name in modules} - {path}
    others = {name.split(".")[0] for name in named if name not in modules} - sys.stdlib_module_names - {"__future__"}
    return File(path, frozenset(ours), frozenset(others))


def room_of(path: str, among: list[Room]) -> Room | None:
    def fits(place: str) -> bool:
        if place.endswith("/*"):
            return path.rpartition("/")[0] == place[:-2]
        return path == place or (place.endswith("/") and path.startswith(place))

    fitting = [(len(place), room) for room in among for place in room.places if fits(place)]
    return max(fitting, key=lambda one: one[0])[1] if fitting else None


def circle(files: list[File]) -> list[str]:
    """Files that import each other in a circle, the first again at the end; empty where there is none."""
    try:
        TopologicalSorter({file.path: sorted(file.files) for file in files}).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def forbidden(files: list[File], among: list[Room]) -> list[str]:
    """A sentence for every import that the table does not allow, and for every file in no room."""
    found = []
    for file in files:
        room = room_of(file.path, among)
        if room is None:
            found.append(f"{file.path} is in no room: add it to tools/import_rules.toml.")
            continue
        for path in sorted(file.files):
            there = room_of(path, among)
            if there is not None and there.name not in (room.name, *room.imports):
                found.append(f"{file.path} imports {path}: {room.name} may not import {there.name}.")
        found += [
            f"{file.path} imports {name}: {room.name} may not." for name in sorted(file.packages - set(room.packages))
        ]
    return found


def needless(files: list[File], among: list[Room]) -> list[str]:
    """A sentence for everything that the table allows and nobody uses."""
    found = []
    for room in among:
        own = [file for file in files if room_of(file.path, among) == room]
        used = {there.name for file in own for path in file.files if (there := room_of(path, among))}
        packages = {name for file in own for name in file.packages}
        unused = [
            *(name for name in room.imports if name not in used),
            *(name for name in room.packages if name not in packages),
        ]
        if unused:
            found.append(f"{room.name} imports no {', '.join(unused)}: take that out of tools/import_rules.toml.")
    return found


def main() -> int:
    files, among = read(), rooms()
    around = circle(files)
    amiss = [
        *([f"A circle: {' imports '.join(around)}."] if around else []),
        *forbidden(files, among),
        *needless(files, among),
    ]
    print("\n".join(amiss) or f"{len(files)} files in {len(among)} rooms: no circle, nothing imports upwards.")
    return 1 if amiss else 0


if __name__ == "__main__":
    sys.exit(main())
