"""The house is as its plan says: who imports whom, how full a folder may be, and the plan in the docs is of now."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections import Counter

import pytest

from HNSegmenterLib import __version__
from Testing.machine import ROOT
from tools import imports, picture

MOST_FILES = 15
LONGEST_LINE = 120


@pytest.fixture(scope="module")
def files() -> list[imports.File]:
    return imports.read()


def test_no_circle(files):
    assert imports.circle(files) == []


def test_nothing_imports_upwards(files):
    assert imports.forbidden(files, imports.rooms()) == []


def test_the_table_allows_what_is_used_and_no_more(files):
    assert imports.needless(files, imports.rooms()) == []


def test_picture_and_table_in_the_docs_are_those_of_now(files):
    among = imports.rooms()
    assert picture.PICTURE.read_text(encoding="utf-8") == picture.draw(files, among), "run  python -m tools.picture"
    page = picture.PAGE.read_text(encoding="utf-8")
    assert picture.table(among) in page and picture.page(page, among) == page, "run  python -m tools.picture"


def test_everybody_says_the_version_of_the_library():
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    network = tomllib.loads((ROOT / "docker" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {cited[1], network["version"]} == {__version__}


def of_the_project() -> list[str]:
    """Paths of its files, also of those that are yet to be committed."""
    if not (ROOT / ".git").exists():
        pytest.skip("without git nobody knows which files belong to the project")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [path for path in listed if (ROOT / path).exists()]


def test_no_folder_is_too_full():
    full = Counter(path.rpartition("/")[0] for path in of_the_project())
    assert {folder: n for folder, n in full.items() if n > MOST_FILES} == {}


def too_long(text: str) -> list[int]:
    """Numbers of the lines of a Markdown page that should be wrapped: prose, and not one long word (an address)."""
    found, fenced, code, before = [], False, False, ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        code = line.startswith("    ") and (code or not before.strip())
        before = line
        words = line.removeprefix("> ").lstrip("-*1234567890. ").split()
        if len(line) > LONGEST_LINE and len(words) > 1 and not (fenced or code or line.lstrip().startswith("|")):
            found.append(number)
    return found


def test_prose_is_wrapped():
    pages = {path: too_long((ROOT / path).read_text("utf-8")) for path in of_the_project() if path.endswith(".md")}
    assert {path: lines for path, lines in pages.items() if lines} == {}


def test_only_what_can_be_wrapped_is_asked_to_be():
    long = "word " * 30
    code, table, address = f"    {long}\n\n```sh\n{long}\n```\n", f"| {long} |\n", f"- [page](https://{'a' * 150})\n"
    text = f"{long}\n\n{code}- {long}\n\n{table}\n{address}> {long}\n"
    assert too_long(text) == [1, 8, 13]


LIBRARY = "HNSegmenter/HNSegmenterLib"


def house(folder, sources: dict[str, str]) -> list[imports.File]:
    """A made-up library of these files."""
    for name, text in {"__init__.py": "", "low/__init__.py": "", "high/__init__.py": "", **sources}.items():
        (folder / LIBRARY / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / LIBRARY / name).write_text(text)
    return imports.read(folder)


LOW = imports.Room("low", "", (f"{LIBRARY}/low/", f"{LIBRARY}/__init__.py"), (), ("numpy",))
HIGH = imports.Room("high", "", (f"{LIBRARY}/high/",), ("low",), ())
LAZY = "def later():\n    from ..high import top\n"
FOR_TYPES = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..high.top import Top\n"
BY_NAME = "from importlib import import_module\nHOMES = {'Top': 'high.top'}\nimport_module(HOMES['Top'])\n"


@pytest.mark.parametrize(
    "text", [LAZY, FOR_TYPES, "import HNSegmenterLib.high.top\n", "from HNSegmenterLib.high import top as t\n"]
)
def test_every_way_of_importing_upwards_is_seen(tmp_path, text):
    files = house(tmp_path, {"low/ground.py": text, "high/top.py": "from ..low.ground import later\n"})
    assert imports.forbidden(files, [LOW, HIGH]) == [
        f"{LIBRARY}/low/ground.py imports {LIBRARY}/high/top.py: low may not import high."
    ]
    assert sorted(set(imports.circle(files))) == [f"{LIBRARY}/high/top.py", f"{LIBRARY}/low/ground.py"]


def test_modules_loaded_by_their_names_are_imports(tmp_path):
    files = house(tmp_path, {"__init__.py": BY_NAME, "high/top.py": ""})
    assert imports.forbidden(files, [LOW, HIGH]) == [
        f"{LIBRARY}/__init__.py imports {LIBRARY}/high/top.py: low may not import high."
    ]


def test_packages_of_others_and_files_without_a_room(tmp_path):
    files = house(
        tmp_path,
        {"low/ground.py": "import numpy\nimport os.path\n", "high/top.py": "import docker.errors\n", "attic.py": ""},
    )
    assert imports.forbidden(files, [LOW, HIGH]) == [
        f"{LIBRARY}/attic.py is in no room: add it to tools/import_rules.toml.",
        f"{LIBRARY}/high/top.py imports docker: high may not.",
    ]
    assert imports.needless(files, [LOW, HIGH]) == ["high imports no low: take that out of tools/import_rules.toml."]


def test_a_room_may_name_only_rooms_below_it(tmp_path):
    table = tmp_path / "rules.toml"
    table.write_text(
        '[[room]]\nname = "low"\nis = ""\nplaces = []\nimports = ["high"]\npackages = []\n'
        '[[room]]\nname = "high"\nis = ""\nplaces = []\nimports = []\npackages = []\n'
    )
    with pytest.raises(ValueError, match="low stands below high"):
        imports.rooms(table)
