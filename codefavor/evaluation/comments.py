"""Comments and docstrings removed from both programs of a pair, or from neither."""

from __future__ import annotations

import ast
import warnings
from importlib import import_module
from typing import Literal

from codefavor.errors import ConfigError, MissingPackageError
from codefavor.text import strip_comments

# "removed": ours. "paper": by the published procedure. "kept": the programs as they are.
CommentRule = Literal["removed", "paper", "kept"]


def apply_comment_rule(
    first: str, second: str, rule: CommentRule, language: str = "python"
) -> tuple[str, str, bool]:
    """Both programs by the rule, and whether comments were removed (both sides or neither)."""
    if rule == "kept":
        return first, second, False
    if rule not in ("removed", "paper"):
        raise ConfigError(f"unknown comment rule {rule!r}; known: removed, paper, kept")
    strip = _paper_strip if rule == "paper" else _strip
    try:
        with warnings.catch_warnings():
            # The programs' invalid escapes warn when parsed; that is nothing the user can mend.
            warnings.simplefilter("ignore")
            return strip(first, language), strip(second, language), True
    except (SyntaxError, ValueError, RecursionError, AttributeError):
        # AttributeError: the published printer meets syntax that it does not know.
        return first, second, False


def _strip(code: str, language: str) -> str:
    """Without comments and docstrings; Python is printed anew, so that layout says nothing."""
    if language != "python":
        return strip_comments(code, language)
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)):
            rest = [statement for statement in node.body if not _is_text(statement)]
            is_empty = not rest and not isinstance(node, ast.Module)
            node.body = [ast.Pass()] if is_empty else rest
    return ast.unparse(ast.fix_missing_locations(tree))


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _paper_strip(code: str, language: str) -> str:
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
