# SPDX-License-Identifier: GPL-3.0-or-later
"""Every sentence that the extension shows can be translated: it is whole, with a named place for each value."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from string import Formatter

import pytest

from blender_cteg import sentences
from tests.test_rooms import ROOT

SOURCES = {path: path.read_text("utf-8") for path in sorted((ROOT / "blender_cteg").rglob("*.py"))}
#: A word with a space beside it: part of what somebody reads.
WORDS = re.compile(r"[A-Za-z]{2,}[.,;:!?…”)]* | [(“]*[A-Za-z]{2,}")
#: Two words: more than the name of something.
PHRASE = re.compile(r"[A-Za-z]{2,}[,;:]? [A-Za-z]")
#: Parts of names that are never translated: of datablocks and stored parts of them, a thread; a unit; a prefix.
NAMES = {" Rig", " Rest", "location ", "CTEG worker ", " mm", "cteg: "}
#: Raised for programmers, or caught and told in other words.
UNSEEN = {"a tuple of more than there is", "a string without quotes"}
#: Calls that show a text at once.
SHOWING = {"report", "poll_message_set", "append", "conclude", "finish"}


def name_of(node: ast.expr) -> str:
    """The name of what is called, of a base, or of a variable; "" for anything else."""
    return getattr(node, "id", getattr(node, "attr", ""))


def telling(sources: Iterable[str]) -> set[str]:
    """What takes a sentence and its values: `told`, and the exceptions that are made of `Told`."""
    bases = {
        node.name: {name_of(base) for base in node.bases}
        for source in sources
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ClassDef)
    }
    found = {"told", "Told"}
    while more := {name for name, of in bases.items() if of & found} - found:
        found |= more
    return found


def literals(node: ast.expr, scope: ast.AST, module: ast.Module) -> list[str]:
    """The texts that a sentence may be; ValueError where that is not written beside it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.IfExp):
        return literals(node.body, scope, module) + literals(node.orelse, scope, module)
    if isinstance(node, ast.Name):
        before = [(n.lineno, v) for n, v in assigned(node.id, scope) if n.lineno <= node.lineno]
        here = before or [(n.lineno, v) for n, v in assigned(node.id, module) if n in module.body]
        if here:
            return literals(max(here, key=lambda pair: pair[0])[1], scope, module)
    raise ValueError(ast.unparse(node))


def assigned(name: str, scope: ast.AST) -> Iterator[tuple[ast.stmt, ast.expr]]:
    """Where a variable gets a value, and which."""
    for node in ast.walk(scope):
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Tuple)
            and isinstance(node.value, ast.Tuple)
        ):
            pairs = zip(node.targets[0].elts, node.value.elts, strict=False)
        elif isinstance(node, ast.Assign):
            pairs = zip(node.targets, [node.value], strict=False)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            pairs = zip([node.target], [node.value], strict=True)
        else:
            continue
        yield from ((node, value) for target, value in pairs if name_of(target) == name)


def scoped(node: ast.AST, scope: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Every node, each with the function that it stands in."""
    for child in ast.iter_child_nodes(node):
        inner = child if isinstance(child, ast.FunctionDef) else scope
        yield child, scope
        yield from scoped(child, inner)


def spoken(node: ast.AST | None) -> Iterator[str]:
    """Texts that come out as they are, whatever else could."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from (text for part in (node.body, node.orelse) for text in spoken(part))
    elif isinstance(node, ast.BoolOp):
        yield from (text for part in node.values for text in spoken(part))


def glued(node: ast.JoinedStr) -> Iterator[str]:
    """Words in an f-string."""
    for part in node.values:
        if isinstance(part, ast.Constant):
            yield from [part.value] if WORDS.search(part.value) and part.value not in NAMES else []
        elif isinstance(part, ast.FormattedValue) and isinstance(part.value, ast.IfExp):
            yield from (text for text in spoken(part.value) if re.search("[A-Za-z]", text))


def untold(node: ast.AST, tells: set[str]) -> Iterator[str]:
    """Sentences that are returned, raised or shown as they are written."""
    if isinstance(node, ast.Return | ast.Yield):
        texts = [text for text in spoken(node.value) if text.endswith((".", "?"))]
    elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and name_of(node.exc.func) not in tells:
        texts = [text for argument in node.exc.args for text in spoken(argument)]
    elif isinstance(node, ast.Call) and name_of(node.func) in SHOWING:
        texts = [text for argument in node.args for text in spoken(argument)]
    elif isinstance(node, ast.keyword) and node.arg == "problem":
        texts = list(spoken(node.value))
    else:
        return
    yield from (text for text in texts if PHRASE.search(text) and text not in UNSEEN)


def misused(call: ast.Call, scope: ast.AST, module: ast.Module) -> Iterator[str]:
    """What is wrong with a sentence and its values."""
    given = {keyword.arg for keyword in call.keywords}
    try:
        texts = literals(call.args[0], scope, module)
    except (ValueError, IndexError) as error:
        yield f"the sentence is not written there: {error}"
        return
    for text in texts:
        if not given:
            yield from [f"braces without values: {text!r}"] if set(text) & {"{", "}"} else []
        elif (places := {name for _, name, _, _ in Formatter().parse(text) if name is not None}) != given:
            yield f"places {sorted(places)} and values {sorted(map(str, given))}: {text!r}"


def problems(source: str, tells: set[str]) -> list[str]:
    """What of a module cannot be translated."""
    module = ast.parse(source)
    found = []
    for node, scope in scoped(module, module):
        said: list[str] = []
        if isinstance(node, ast.JoinedStr):
            said += [f"glued: {text!r}" for text in glued(node)]
        if isinstance(node, ast.Call) and name_of(node.func) in tells:
            said += misused(node, scope, module)
        said += [f"not told: {text!r}" for text in untold(node, tells)]
        found += [f"{getattr(node, 'lineno', 0)}: {text}" for text in said]
    return found


def test_sentences_are_whole_and_told() -> None:
    tells = telling(SOURCES.values())
    assert {"Refusal", "LineError", "PatchError", "MappingError", "StoredError", "ProtocolError"} <= tells
    found = {path: problems(source, tells) for path, source in SOURCES.items() if path.name != "sentences.py"}
    assert {str(path.relative_to(ROOT)): said for path, said in found.items() if said} == {}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ('label(text=f"{count} targets")', "glued: ' targets'"),
        ('label(text=f"Added {name}")', "glued: 'Added '"),
        ("label(text=f\"{n} line{'s' if n > 1 else ''}\")", "glued"),
        ('raise LineError(f"{name} is gone.")', "glued"),
        ("raise LineError(str(error))", "not written there: str(error)"),
        ("raise LineError(reason)", "not written there: reason"),
        ('raise LineError("{name} is gone.")', "braces without values"),
        ('raise LineError("{name} is gone.", text=1)', "places ['name'] and values ['text']"),
        ('told("{name} is gone.", name=1, text=2)', "places ['name'] and values ['name', 'text']"),
        ('told("{} is gone.", name=1)', "places ['']"),
        ('told("{one.name} is gone.", one=1)', "places ['one.name']"),
        ('told("{name} is gone.", **values)', "values ['None']"),
        ('told("{n} lines" if n > 1 else "a line", n=n)', "places [] and values ['n']"),
        ('def f():\n    text = "{a} is"\n    told(text, b=1)', "places ['a']"),
        ('def f():\n    return "It is gone."', "not told"),
        ('def f():\n    return "" if there else "It is gone."', "not told"),
        ('self.report({"INFO"}, "It is gone")', "not told"),
        ('raise ValueError("it is gone")', "not told"),
        ('Rig(problem=other or "It is gone.")', "not told"),
    ],
)
def test_what_cannot_be_translated_is_found(source: str, words: str) -> None:
    known = telling(["class Told(Exception): ...", "class LineError(Told, RuntimeError): ..."])
    assert any(words in problem for problem in problems(source, known)), problems(source, known)


@pytest.mark.parametrize(
    "source",
    [
        'told("{n} lines" if n > 1 else "{n} line", n=n)',
        'def f():\n    sentence = "{a} is"\n    told(sentence, a=1)\n    sentence = "{b} is"\n    told(sentence, b=1)',
        'def f():\n    text, count = "{n:,} points", 3\n    raise LineError(text, n=count) from None',
        'TEXT = "It is gone."\ndef f():\n    return told(TEXT)',
        'told("{what!r:.40} is no {{name}}", what=1)',
        'path = f"slot{place}"',
    ],
)
def test_whole_sentences_are_fine(source: str) -> None:
    assert problems(source, telling(["class LineError(Told): ..."])) == []


def test_values_may_hold_braces_and_translations_have_other_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sentences.told("{a} and {b}", a="{b}", b="{}") == "{b} and {}"
    assert sentences.told("as it is: {}") == "as it is: {}"
    monkeypatch.setattr(sentences, "translated", lambda text: text.replace("{a} and {b}", "{b} und {a}"))
    assert str(sentences.Told("{a} and {b}", a=1, b=2)) == "2 und 1"
    monkeypatch.setattr(sentences, "translated", lambda _: "{c} und {a}")
    assert sentences.told("{a} and {b}", a=1, b=2) == "1 and 2", "somebody's translation has a place too many"
