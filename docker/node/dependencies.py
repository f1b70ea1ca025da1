"""Print what pyproject.toml asks for: dependencies.py FILE [EXTRA ...], one requirement a line."""

import sys
import tomllib
from pathlib import Path

file, *extras = sys.argv[1:]
with Path(file).open("rb") as opened:
    project = tomllib.load(opened)["project"]
requirements = [
    *project["dependencies"],
    *(item for extra in extras for item in project["optional-dependencies"][extra]),
]
print("\n".join(requirements))
