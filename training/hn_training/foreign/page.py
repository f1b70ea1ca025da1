"""docs/models/structures.md: the table of structures for people, made of structures.json."""

from __future__ import annotations

from .structures import Structure, datasets, sources, structures

HEAD = """# Structures that are known by their label

`hn_training import-nnunet` knows what the labels in this table mean, and gives each organ its TG-263 name, its
SNOMED CT code, its side and its colour. This page is made by `python -m hn_training structures`; the table itself is
`training/hn_training/foreign/structures.json`.

- A label is found by its exact text; upper and lower case, and space, underscore and hyphen, count as equal. Anything
  else is asked for, by name, in the map of organs: nothing is guessed.
- A name in *italics* is not one of TG-263's: TG-263 has none for it, and this one is built by its rules.
- "Given by" names the sources of the code. Where only one is named, there was no second to check it against. "Not"
  names the sources that give another code, and that code.
- Label files in which several organs share one value, such as the overlaps of SegRap 2023, are not in the table: an
  overlap is no organ.
- Check what a model draws against what its name says before you use it. Data sets draw the same organ differently.
"""


def markdown() -> str:
    """The whole page."""
    lines = [HEAD, "| structure | SNOMED CT | given by | labels |", "| --- | --- | --- | --- |"]
    lines += [_row(group) for group in _pairs(structures())]
    known = [f"{name}: {sum(name in entry.labels for entry in structures())}" for name in datasets()]
    lines += ["", f"{len(structures())} structures. By data set: {', '.join(known)}.", "", "## Sources", ""]
    lines += ["| | title | version |", "| --- | --- | --- |"]
    lines += [f"| {key} | {source['title']} | {source['version']} |" for key, source in sources().items()]
    return "\n".join(lines) + "\n"


def _pairs(entries: tuple[Structure, ...]) -> list[list[Structure]]:
    """Left and right together: neighbours whose names differ in their last letter alone, and that share a code."""
    groups: list[list[Structure]] = []
    for entry in entries:
        before = groups[-1][0] if groups else None
        if before and before.laterality and entry.laterality and _without_side(before) == _without_side(entry):
            groups[-1].append(entry)
        else:
            groups.append([entry])
    return groups


def _without_side(entry: Structure) -> tuple[str, str]:
    return entry.name[:-1], entry.code["value"]


def _row(group: list[Structure]) -> str:
    first = group[0]
    name = ", ".join(entry.name if entry.tg263 else f"*{entry.name}*" for entry in group)
    if first.note:
        name += f": {first.note}"
    others: dict[str, list[str]] = {}
    for entry in group:
        for source, code in entry.others.items():
            others.setdefault(source, [])
            others[source] += [code] if code not in others[source] else []
    given = ", ".join(first.sources)
    if others:
        given += "; not " + ", ".join(f"{source} ({', '.join(codes)})" for source, codes in others.items())
    labels = "; ".join(
        f"{source} " + ", ".join(f"`{label}`" for entry in group for label in entry.labels[source])
        for source in first.labels
    )
    return f"| {name} | {first.code['value']} {first.code['meaning']} | {given} | {labels} |"
