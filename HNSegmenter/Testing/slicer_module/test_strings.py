"""Everything that the module shows can be translated:
found by Qt's lupdate, which reads sources and does not run them."""

from __future__ import annotations

import ast
import re
import xml.etree.ElementTree as ElementTree

import pytest

from Testing.machine import ROOT

MODULE = ROOT / "HNSegmenter"
SOURCES = [MODULE / "HNSegmenter.py", *sorted((MODULE / "HNSegmenterWidgets").rglob("*.py"))]
FORMS = sorted((MODULE / "Resources" / "UI").glob("*.ui"))
SENTENCE = re.compile(r"[A-Za-z]{2,}[,;:]? [a-z]{2,}")
SHOWING = {  # what is called or set with a text that is shown
    "addButton", "addItem", "setText", "setToolTip", "setWindowTitle", "setInformativeText", "setLabelText",
    "setPlaceholderText", "setStatusTip", "appendPlainText", "tell", "show_fault", "text", "toolTip", "title",
    "placeholderText", "windowTitle",
}  # fmt: skip
NEVER_SHOWN = {"HNSegmenterTest"}  # the self-test speaks to developers
AS_THEY_ARE = {  # a name, and words of the library that are looked for or looked up, not shown
    "The HN Segmenter contributors",
    "not found",
    "not in this model",
    "is not on the Docker engine",
}


def spoken(tree: ast.AST):
    """(line, text) of string constants that no _() holds, docstrings and what is never shown apart."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name in NEVER_SHOWN:
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue  # a docstring
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("_", "translate"):
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        yield from spoken(node)


def shown(tree: ast.AST):
    """(line, text) of constants that a widget is given directly."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in SHOWING:
            given = node.args
        elif isinstance(node, ast.Assign) and any(getattr(target, "attr", "") in SHOWING for target in node.targets):
            given = [node.value]
        else:
            continue
        for value in given:
            if (
                isinstance(value, ast.Constant)
                and isinstance(value.value, str)
                and re.search("[A-Za-z]{2}", value.value)
            ):
                yield value.lineno, value.value


def _is_sentence(text: str) -> bool:
    return bool(SENTENCE.search(text)) and text not in AS_THEY_ARE and not text.startswith("<span style=")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(MODULE).as_posix())
def test_every_text_of_a_source_goes_through_tr(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    sentences = [(line, text) for line, text in spoken(tree) if _is_sentence(text)]
    assert sentences + list(shown(tree)) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(MODULE).as_posix())
def test_texts_are_constants_with_named_places(path):
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "_":
            (text,) = call.args
            assert isinstance(text, ast.Constant) and isinstance(text.value, str), (
                f"line {call.lineno}: lupdate cannot read it"
            )
            assert "{}" not in text.value, f"line {call.lineno}: a translator cannot change the order"


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_forms_mark_only_style_and_classes_as_not_translated(path):
    for item in ElementTree.parse(path).iter("property"):
        for text in item.iter():
            if text.get("notr") == "true":
                assert item.get("name") in ("styleSheet", "nodeTypes", "SlicerParameterName"), ElementTree.tostring(
                    item
                )
