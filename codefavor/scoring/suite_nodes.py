"""Small questions to the syntax tree of a test suite."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib.machinery import PathFinder

from codefavor.sandbox.allowed import site_folders

PROGRAM_MODULE = "solution"


def imports_of(nodes: list[ast.AST]) -> Iterator[tuple[ast.Import | ast.ImportFrom, str]]:
    """Each import statement with the module that it names, dots in front."""
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom):
            yield node, "." * node.level + (node.module or "")


def word_of(node: ast.AST) -> str:
    """The name, attribute, imported name or text that a node is; "" for any other."""
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.alias):
        return node.name.rpartition(".")[2]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return ""


def base_of(node: ast.AST) -> str:
    """The name at the start of a chain of attributes and subscripts; "" for none."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


@lru_cache(maxsize=2048)
def is_library(module: str) -> bool:
    """Whether a module is of Python or installed: it is not the program then."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names:
        return True
    return bool(top) and PathFinder.find_spec(top, site_folders()) is not None


def patterns_of(node: ast.AST) -> Iterator[ast.Attribute]:
    """The attributes that a pattern of `match` reads, `C(x=1)`, each as if it were written out."""
    if isinstance(node, ast.MatchClass):
        for name in node.kwd_attrs:
            read = ast.Attribute(ast.Constant(None), name, ast.Load())
            yield ast.copy_location(read, node)
