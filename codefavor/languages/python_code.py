"""Python read by its own compiler: comments, docstrings, tokens, and where units stand."""

from __future__ import annotations

import ast
import io
import tokenize
import warnings
from collections.abc import Iterator, Mapping

# What the reader raises for a text that is no program of this Python.
UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError)
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def read(code: str) -> ast.Module:
    """The tree of a program; raises one of `UNREADABLE`. Its warnings are not the user's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(code)


def rename(tree: ast.AST, names: Mapping[str, str]) -> None:
    """Give variables and functions other names, in place; attributes and arguments keep theirs."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = names.get(node.id, node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.name = names.get(node.name, node.name)


def tree_of(code: str) -> ast.Module | None:
    """The tree of a program; None for what is none."""
    try:
        return read(code)
    except UNREADABLE:
        return None


def compiles(code: str) -> bool:
    """Whether Python would begin to run it: `return` outside a function parses, and does not."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(code, "", "exec", dont_inherit=True)
    except UNREADABLE:
        return False
    return True


def put_before(head: str, code: str, *, behind_imports: bool = False) -> str:
    """A program with whole lines before it, but behind its docstring and its `__future__` imports,
    or with `behind_imports` behind all that it begins with.

    What is no program by itself, such as the body of a function, is put behind all of them.
    """
    tree = tree_of(code) if head.endswith("\n") else None
    end = 0
    for n, one in enumerate(tree.body if tree else ()):
        is_import = (
            isinstance(one, ast.Import | ast.ImportFrom)
            if behind_imports
            else (isinstance(one, ast.ImportFrom) and one.module == "__future__")
        )
        if not is_import and (n or not is_text(one)):
            break
        end = one.end_lineno or one.lineno
    lines = io.StringIO(code).readlines()
    end = end if end < len(lines) else 0
    return "".join(lines[:end]) + head + "".join(lines[end:])


def error_line(code: str) -> int:
    """The 1-based line at which the reader gives up; 0 if it does not, or does not say."""
    try:
        read(code)
    except SyntaxError as error:
        return error.lineno or 0
    except UNREADABLE:
        return 0
    return 0


def without_comments(code: str, *, docstrings: bool) -> str | None:
    """The program without comments; None if it cannot be done without changing what is read.

    Lines that held nothing else disappear, all the rest stays byte for byte. With `docstrings`
    every statement that is only a string goes too, `pass` where nothing else is left; `...`
    is code and stays.
    """
    try:
        tree = read(code)
        stripped = _cut(code, _comment_spans(code))
        if docstrings:
            stripped = _without_docstrings(stripped)
        if stripped == code:
            return code
        after = read(stripped)
    except (*UNREADABLE, tokenize.TokenError):
        return None
    return stripped if _meaning(after, docstrings) == _meaning(tree, docstrings) else None


def tokens(code: str) -> tuple[str, ...] | None:
    """The tokens of the program as Python itself would print it; None if it does not parse.

    Comments, docstrings, quotes, needless parentheses and line breaks make no difference.
    """
    try:
        tree = read(code)
        _drop_texts(tree)
        printed = ast.unparse(ast.fix_missing_locations(tree))
        found = tokenize.generate_tokens(io.StringIO(printed).readline)
        return tuple(
            _LAYOUT.get(token.type, token.string) for token in found if token.type not in _DROPPED
        )
    except (*UNREADABLE, tokenize.TokenError):
        return None


_LAYOUT = {tokenize.NEWLINE: "\n", tokenize.INDENT: "{", tokenize.DEDENT: "}"}
_DROPPED = {tokenize.NL, tokenize.ENDMARKER}


def _meaning(tree: ast.Module, without_texts: bool) -> str:
    if without_texts:
        _drop_texts(tree)
    return ast.dump(tree)


def _drop_texts(tree: ast.Module) -> None:
    for owner, suite in list(_suites(tree)):
        rest = [s for s in suite if not is_text(s)]
        # A `pass` beside other statements says nothing either, and may stand for a text.
        kept = [s for s in rest if not isinstance(s, ast.Pass)]
        suite[:] = kept or ([] if isinstance(owner, ast.Module) else [ast.Pass()])


def form_of(code: str) -> str:
    """What is left of a program without layout, comments, texts that do nothing, and the names that
    it gives: equal for copies that were renamed. What does not parse is its own form."""
    try:
        tree = read(code)
        _drop_texts(tree)
        _number_names(tree)
        return ast.dump(tree)
    except UNREADABLE:
        return code


def _number_names(tree: ast.Module) -> None:
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.setdefault(node.id, f"_{len(names)}")
        elif isinstance(node, ast.arg):
            names.setdefault(node.arg, f"_{len(names)}")
        elif isinstance(node, DEFINITIONS):
            names.setdefault(node.name, f"_{len(names)}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = names.get(node.id, node.id)
        elif isinstance(node, ast.arg | ast.keyword) and node.arg is not None:
            node.arg = names.get(node.arg, node.arg)
        elif isinstance(node, DEFINITIONS):
            node.name = names.get(node.name, node.name)


def is_text(statement: ast.stmt) -> bool:
    """Whether a statement is a string and nothing else: a docstring or a remark."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _suites(tree: ast.AST) -> Iterator[tuple[ast.AST, list[ast.stmt]]]:
    """Each list of statements with the node that owns it."""
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            suite = getattr(node, name, None)
            if isinstance(suite, list) and suite and isinstance(suite[0], ast.stmt):
                yield node, suite


Span = tuple[int, int]  # offsets of characters


class Lines:
    """Offsets of the lines of a text, for the two ways in which Python counts columns."""

    def __init__(self, code: str) -> None:
        self.lines = io.StringIO(code).readlines()
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))

    def offset(self, row: int, column: int) -> int:
        """The offset of a 1-based row and a column that counts characters."""
        return self.starts[row - 1] + column

    def offset_of_bytes(self, row: int, column: int) -> int:
        """The same for a column that counts bytes of UTF-8, as in `ast`."""
        line = self.lines[row - 1] if row <= len(self.lines) else ""
        return self.starts[row - 1] + len(line.encode()[:column].decode("utf-8", "ignore"))


def _comment_spans(code: str) -> list[tuple[Span, str]]:
    lines = Lines(code)
    return [
        ((lines.offset(*token.start), lines.offset(*token.end)), "")
        for token in tokenize.generate_tokens(io.StringIO(code).readline)
        if token.type == tokenize.COMMENT
    ]


def _without_docstrings(code: str) -> str:
    lines = Lines(code)
    spans: list[tuple[Span, str]] = []
    for owner, suite in _suites(read(code)):
        texts = [s for s in suite if is_text(s)]
        is_emptied = len(texts) == len(suite) and not isinstance(owner, ast.Module)
        for statement in texts:
            span = (
                lines.offset_of_bytes(statement.lineno, statement.col_offset),
                lines.offset_of_bytes(
                    statement.end_lineno or statement.lineno, statement.end_col_offset or 0
                ),
            )
            spans.append((span, "pass" if is_emptied and statement is texts[0] else ""))
    return _cut(code, sorted(spans))


def _cut(code: str, spans: list[tuple[Span, str]]) -> str:
    """The text with each span replaced; lines of which nothing is left go whole."""
    parts: list[str] = []
    position = 0
    for (start, end), replacement in spans:
        if start < position:
            continue
        line_start = code.rfind("\n", 0, start) + 1
        line_end = code.find("\n", end)
        line_end = len(code) if line_end < 0 else line_end
        before, after = code[line_start:start], code[end:line_end]
        if replacement:
            parts.append(code[position:start] + replacement)
            position = end
        elif not after.strip() and not before.strip():
            parts.append(code[position:line_start])
            position = min(line_end + 1, len(code))
        elif not after.strip():
            parts.append(code[position:start].rstrip(" \t\f"))
            position = end
        else:
            # A statement beside others on its line; only a docstring can be one.
            parts.append(code[position:start] + "pass")
            position = end
    return "".join(parts) + code[position:]
