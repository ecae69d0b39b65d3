"""Comments and docstrings removed from both programs of a pair, or from neither."""

from __future__ import annotations

import ast
import warnings
from importlib import import_module
from typing import Literal

from codefavor.errors import ConfigError, MissingPackageError
from codefavor.languages import strip_both

# "strip": ours. "paper": by the published procedure. "keep": the programs as they are.
CommentRule = Literal["strip", "keep", "paper"]


def apply_comment_rule(
    first: str, second: str, rule: CommentRule, language: str = "python"
) -> tuple[str, str, bool]:
    """Both programs by the rule, and whether comments were removed (both sides or neither)."""
    if rule == "keep":
        return first, second, False
    if rule not in ("strip", "paper"):
        raise ConfigError(f"unknown comment rule {rule!r}; known: strip, keep, paper")
    strip = _paper_both if rule == "paper" else _strip_both
    with warnings.catch_warnings():
        # The programs' invalid escapes warn when parsed; that is nothing the user can mend.
        warnings.simplefilter("ignore")
        return strip(first, second, language)


def _strip_both(first: str, second: str, language: str) -> tuple[str, str, bool]:
    """Without comments and docstrings; Python is printed anew, so that layout says nothing."""
    one, two, is_done = strip_both(first, second, language, docstrings=True)
    if is_done and language == "python":
        one, two = ast.unparse(ast.parse(one)), ast.unparse(ast.parse(two))
    return one, two, is_done


def _paper_both(first: str, second: str, language: str) -> tuple[str, str, bool]:
    if language != "python":
        return first, second, False
    try:
        return _paper_strip(first), _paper_strip(second), True
    except (SyntaxError, ValueError, RecursionError, AttributeError):
        # AttributeError: the published printer meets syntax that it does not know.
        return first, second, False


def _paper_strip(code: str) -> str:
    """As published: every bare constant goes (of plain functions, classes, modules), then astor.

    Kept with its faults, because published numbers depend on them: async functions keep their
    docstrings, `...` goes, and a function of only a docstring becomes invalid code.
    """
    try:
        astor = import_module("astor")
    except ImportError as error:
        raise MissingPackageError("astor", "analysis", "the paper's comment removal") from error
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module)):
            node.body = [
                statement
                for statement in node.body
                if not (
                    isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
                )
            ]
    return str(astor.to_source(tree))
