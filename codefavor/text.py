"""Reading what models write: code fences, tagged sections, and code without its comments."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Sequence
from typing import NamedTuple

# CommonMark: at most three spaces, three or more of one mark; backticks allow no backtick after.
_OPENING = re.compile(r"^ {0,3}(?P<fence>`{3,}(?=[^`]*$)|~{3,})[ \t]*(?P<info>.*?)[ \t]*$")
_PYTHON_NAMES = frozenset({"python", "py", "python3", "py3"})
_CODE_START = re.compile(r"^(?:def |async def |class |import |from \w[\w.]* import |@\w|#|\"\"\")")


class Fence(NamedTuple):
    """A fenced block: the first word of its info string in lower case, and its content."""

    language: str
    content: str
    is_closed: bool


def lines_of(text: str) -> list[str]:
    """The lines of a text without their ends: CR LF, CR and LF end one, no other character does.

    (`str.splitlines` also cuts at form feeds and Unicode separators, which strings contain.)
    """
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def opening_fence(line: str) -> str:
    """The marks of a line that opens a fenced block; "" for any other line."""
    match = _OPENING.match(line)
    return match["fence"] if match else ""


def parse_fences(text: str) -> list[Fence]:
    """The fenced blocks of a Markdown text, in order, read as CommonMark does.

    A block ends at a fence of the same mark that is at least as long, so a shorter fence
    inside belongs to the content; a block that nothing closes runs to the end of the text.
    Up to the opening fence's own indentation is removed from each line of its content.
    """
    fences: list[Fence] = []
    opening: re.Match[str] | None = None
    lines: list[str] = []
    for line in lines_of(text):
        if opening is None:
            opening = _OPENING.match(line)
            lines = []
        elif is_closing_fence(line, opening["fence"]):
            fences.append(_fence(opening, lines, is_closed=True))
            opening = None
        else:
            lines.append(line)
    if opening is not None:
        fences.append(_fence(opening, lines, is_closed=False))
    return fences


def is_closing_fence(line: str, fence: str) -> bool:
    """Whether a line ends the block that these marks opened."""
    stripped = line.strip()
    is_indented = len(line) - len(line.lstrip(" ")) > 3
    return not is_indented and len(stripped) >= len(fence) and set(stripped) == {fence[0]}


def _fence(opening: re.Match[str], lines: list[str], *, is_closed: bool) -> Fence:
    indent = opening.start("fence")
    content = [line[min(indent, len(line) - len(line.lstrip(" "))) :] for line in lines]
    words = opening["info"].split()
    language = words[0].lower().strip("{}.") if words else ""
    return Fence(language, "".join(line + "\n" for line in content), is_closed)


def extract_code(text: str, language: str = "python") -> str:
    """The program in a model's answer; "" if there is none.

    Of several fenced blocks: those of the language if there are any, else those without a
    language; of these the longest, the earlier of two of equal length (examples of use are
    shorter than the program). Without any fence, the text itself if it is a program, else
    what remains from the first line that begins a Python program, cut before the first line
    after which it no longer parses.
    """
    fences = [fence for fence in parse_fences(text) if fence.content.strip()]
    names = _PYTHON_NAMES if language == "python" else frozenset({language})
    for wanted in (names, frozenset({""})):
        matching = [fence.content for fence in fences if fence.language in wanted]
        if matching:
            return max(matching, key=len).strip("\n") + "\n"
    if fences or language != "python":
        return ""
    return _unfenced_program(text)


def _unfenced_program(text: str) -> str:
    lines = lines_of(text.strip("\r\n"))
    start = next((i for i, line in enumerate(lines) if _CODE_START.match(line)), None)
    if start is None:
        return ""
    # Prose after the program is cut line by line from the end.
    for end in range(len(lines), start, -1):
        code = "\n".join(lines[start:end]).rstrip() + "\n"
        if is_valid_python(code) and _has_statement(code):
            return code
    return ""


def _has_statement(code: str) -> bool:
    return bool(ast.parse(code).body)


def is_valid_python(code: str) -> bool:
    """Whether this Python can compile the code. Warnings about it are not its fault."""
    try:
        compile(code, "<code>", "exec", flags=ast.PyCF_ONLY_AST, dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return False
    return True


def parse_sections(text: str, names: Sequence[str]) -> dict[str, str]:
    """The text under each header `[NAME]` that stands alone at the start of a line.

    Headers inside fenced blocks are content. Text on the header's own line belongs to its
    section. A name that occurs twice keeps the last occurrence: models often repeat the
    format before they fill it. Sections that do not occur are missing from the result.
    """
    known = "|".join(re.escape(name) for name in names)
    header = re.compile(rf"^\s*(?:\*\*)?\[(?P<name>{known})\](?:\*\*)?:?[ \t]*(?P<rest>.*)$")
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    opening: re.Match[str] | None = None
    for line in text.splitlines():
        match = header.match(line) if opening is None else None
        if match:
            current = [match["rest"]] if match["rest"] else []
            found[match["name"]] = current
            continue
        if opening is None:
            opening = _OPENING.match(line)
        elif is_closing_fence(line, opening["fence"]):
            opening = None
        if current is not None:
            current.append(line)
    return {name: "\n".join(lines).strip("\n") for name, lines in found.items()}


def strip_comments(code: str, language: str = "python") -> str:
    """The code without comments, docstrings kept, everything else byte for byte.

    Lines that held nothing but a comment disappear. Returns the code unchanged if its
    language has no tokenizer here, or if it cannot be read: a half-stripped program would
    show which side of a pair was the broken one.
    """
    if language == "python":
        return _strip_python(code)
    if language in _C_LIKE:
        return _strip_c_like(code)
    return code


def _strip_python(code: str) -> str:
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(code).readline))
        stripped = _without(code, [t for t in tokens if t.type == tokenize.COMMENT])
        if ast.dump(ast.parse(stripped)) != ast.dump(ast.parse(code)):
            return code
    except (tokenize.TokenError, SyntaxError, ValueError, RecursionError, MemoryError):
        return code
    return stripped


def _without(code: str, comments: list[tokenize.TokenInfo]) -> str:
    lines = code.splitlines(keepends=True)
    gone: set[int] = set()
    for comment in comments:
        row, column = comment.start
        line = lines[row - 1]
        ending = line[len(line.rstrip("\r\n")) :]
        kept = line[:column].rstrip()
        lines[row - 1] = kept + ending
        if not kept:
            gone.add(row - 1)
    return "".join(line for index, line in enumerate(lines) if index not in gone)


_C_LIKE = frozenset(
    {"c", "cpp", "c++", "csharp", "go", "java", "javascript", "js", "rust", "typescript", "ts"}
)
# Strings first: what looks like a comment inside one is not.
_C_TOKEN = re.compile(
    r"""(?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)"""
    r"""|(?P<comment>//[^\n]*|/\*.*?\*/)""",
    re.DOTALL,
)


def _strip_c_like(code: str) -> str:
    touched: set[int] = set()

    def replace(match: re.Match[str]) -> str:
        comment = match["comment"]
        if comment is None:
            return match.group()
        first = code.count("\n", 0, match.start())
        touched.update(range(first, first + comment.count("\n") + 1))
        # A comment separates tokens, and its line breaks keep the line numbers.
        return "\n" * comment.count("\n") or " "

    lines = _C_TOKEN.sub(replace, code).split("\n")
    kept = [
        line.rstrip() if index in touched else line
        for index, line in enumerate(lines)
        if index not in touched or line.strip()
    ]
    return "\n".join(kept)
