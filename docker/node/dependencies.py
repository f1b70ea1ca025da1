"""Print what pyproject.toml asks for: dependencies.py FILE [EXTRA ...], one requirement a line."""

import sys
import tomllib

file, *extras = sys.argv[1:]
with open(file, "rb") as opened:
    project = tomllib.load(opened)["project"]
requirements = [
    *project["dependencies"],
    *(item for extra in extras for item in project["optional-dependencies"][extra]),
]
print("\n".join(requirements))
