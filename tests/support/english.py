"""Lint of docstrings and comments: the rules of CONTRIBUTING, "Style", that a program can check.

A docstring begins with a verb in the imperative or with a noun. Docstrings and comments use the
technical verb for an act (announce, send, log, request, check, hold, release), and name the actor.
Code in backticks and quoted text are exempt. Names that a module defines follow the same rule.
Run as a program, it checks every Python file of the project.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from support.places import ROOT

DIRECTORIES = ("rsfilter", "tests", "packaging", "docs")

_NO_FIRST_WORDS = """
    what who whom whose how whether where when why which whoever whatever whichever
    those these this that it they he she such same
    of as for in on by to at from with without within among between beside behind after before
    until since while during if unless because so than
    none nobody somebody anybody everybody nothing something anything everything
    is are was were be has have had does did may might can could must should will would
    not never ever and or but also too
"""
NO_FIRST_WORDS = frozenset(_NO_FIRST_WORDS.split())
"""Words that begin neither an instruction nor a noun phrase."""

_THIRD_PERSON = """
    returns runs makes takes gives gets sets reads writes sends keeps holds removes adds drops
    starts stops opens closes waits builds creates calls checks computes converts decodes encodes
    finds handles judges lets loads parses passes prints raises replaces stores yields logs owns
"""
THIRD_PERSON = frozenset(_THIRD_PERSON.split())
"""Verbs that belong in the imperative where they begin the docstring of a function."""

BANNED = re.compile(
    r"\b(told|tells?|telling|says?|said|saying|asks?|asked|asking|looks?|looked|looking(?![\s-]+glass)"
    r"|lets? go|letting go|whoever|somebody|nobody|anybody)\b",
    re.IGNORECASE,
)
BANNED_IN_NAMES = re.compile(
    r"(?:^|_)(told|untold|tells?|says?|said|asks?|asked|looks?|looked|nobody|somebody|whoever)(?=_|$)|(?:Told|Asked|Said|Unkept)(?![a-z])"
)
PUBLIC_NAMES = frozenset({"told", "untold", "LOOKING_GLASS", "looking_glass"})
"""Names of the API and of the audit log, and a thing that is called so."""

_COMMENTED = re.compile(rf"#.*{BANNED.pattern}", re.IGNORECASE)
"""A banned word after a number sign: only in such a file it is worth while to find the comments."""

_QUOTED = re.compile(r"``?[^`]*``?|\"[^\"]*\"")
_WORD = re.compile(r"[A-Za-z']+")


class Offence(NamedTuple):
    """A docstring or comment that breaks a rule."""

    line: int
    problem: str


def offences(source: str) -> list[Offence]:
    """Check the docstrings, those of attributes too, and the comments of a module."""
    return sorted({*_of_docstrings(source), *_of_comments(source)})


def offences_of_text(text: str, is_docstring: bool, is_function: bool = False) -> list[str]:
    """Check one docstring or comment; return its problems."""
    plain = _QUOTED.sub("x", text)
    problems = [f'"{match[0]}" is banned' for match in BANNED.finditer(plain)]
    first = _WORD.match(text)
    if is_docstring and first is not None and not text.startswith("None if "):
        word = first[0] if first[0] == "AS" else first[0].lower()  # AS: autonomous system
        if word in NO_FIRST_WORDS or (is_function and word in THIRD_PERSON):
            problems.append(f'begins with "{first[0]}": begin with a verb or a noun')
    return problems


def offences_of_names(source: str) -> list[Offence]:
    """Check the names that a module defines."""
    return sorted(
        Offence(line, f"{name} has a banned word")
        for line, name in _defined(ast.parse(source))
        if BANNED_IN_NAMES.search(name) and name not in PUBLIC_NAMES
    )


def _defined(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield node.lineno, name
            case ast.ClassDef(name=name) | ast.arg(arg=name):
                yield node.lineno, name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name


def _of_docstrings(source: str) -> Iterator[Offence]:
    for owner in ast.walk(ast.parse(source)):
        body = getattr(owner, "body", None)
        for statement in body if isinstance(body, list) else ():
            match statement:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    is_function = isinstance(owner, ast.FunctionDef | ast.AsyncFunctionDef)
                    for problem in offences_of_text(text, True, is_function):
                        yield Offence(statement.lineno, problem)


def _of_comments(source: str) -> Iterator[Offence]:
    if not _COMMENTED.search(source):
        return
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            for problem in offences_of_text(token.string, False):
                yield Offence(token.start[0], problem)


def modules() -> list[Path]:
    """Return the Python files of the project."""
    return sorted(module for name in DIRECTORIES for module in (ROOT / name).rglob("*.py"))


def _of_module(module: Path) -> list[Offence]:
    source = module.read_text()
    return offences(source) + offences_of_names(source)


def main() -> int:
    """Print every offence of the project as `file:line: problem`. 1 if there is one."""
    found = [
        f"{module.relative_to(ROOT)}:{offence.line}: {offence.problem}"
        for module in modules()
        for offence in _of_module(module)
    ]
    print("\n".join(found) or "english: ok")  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
