"""Reading text: lists with commas, and what models write (fences, programs in an answer)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from codefavor.errors import MissingPackageError
from codefavor.languages import find_language, normalised_tokens, parses
from codefavor.languages.python_code import error_line

# CommonMark: at most three spaces, three or more of one mark; backticks allow no backtick after.
_OPENING = re.compile(r"^ {0,3}(?P<fence>`{3,}(?=[^`]*$)|~{3,})[ \t]*(?P<info>.*?)[ \t]*$")

# What looks like one special token of a chat template, in a template's text or in a row's.
CONTROL_TOKEN = re.compile(r"<\|[\w.-]+\|>|<(?:start|end)_of_turn>|<\|?turn\|?>|\[/?INST\]")

# Where the thinking of models that think before they answer begins, and where the answer does.
THINKING_BEGINS = (
    r"<(?:seed:)?think(?:ing)?>|<\|channel\|>(?!final)|<\|channel>|\[THINK\]|◁think▷"
    r"|<\|START_THINKING\|>"
)
THINKING_ENDS = (
    r"</(?:seed:)?think(?:ing)?>|<\|channel\|>final<\|message\|>|<channel\|>|\[/THINK\]|◁/think▷"
    r"|<\|END_THINKING\|>"
)
THINKING_MARK = re.compile(rf"{THINKING_BEGINS}|{THINKING_ENDS}")


class Fence(NamedTuple):
    """A fenced block: the first word of its info string in lower case, and its content.

    `before` is what stands between it and the block before it, `after` what stands between it and
    the next one.
    """

    language: str
    content: str
    is_closed: bool
    before: str = ""
    after: str = ""


def control_token(value: Any) -> str:
    """The first special token of a chat template in the texts of a row; "" where none is."""
    if isinstance(value, str):
        found = CONTROL_TOKEN.search(value)
        return found[0] if found else ""
    inside = value.values() if isinstance(value, Mapping) else value
    if not isinstance(value, (Mapping, list)):
        return ""
    return next((one for one in map(control_token, inside) if one), "")


def opened_thinking(prompt: str) -> str:
    """The mark by which a prompt leaves the model within its thinking; "" where it does not."""
    marks = THINKING_MARK.findall(prompt)
    return marks[-1] if marks and re.fullmatch(THINKING_BEGINS, marks[-1]) else ""


def comma_list(text: str) -> tuple[str, ...]:
    """The parts of a list with commas, without the spaces around them; empty ones are left out."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


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
    Up to the opening fence's own indentation is removed from each line of its content. Line
    ends become "\\n".
    """
    fences: list[Fence] = []
    opening: re.Match[str] | None = None
    lines: list[str] = []
    before: list[str] = []
    for line in lines_of(text):
        if opening is None:
            opening = _OPENING.match(line)
            lines = []
            if opening is None:
                before.append(line)
        elif is_closing_fence(line, opening["fence"]):
            fences.append(_fence(opening, lines, before, is_closed=True))
            opening, before = None, []
        else:
            lines.append(line)
    if opening is not None:
        fences.append(_fence(opening, lines, before, is_closed=False))
        before = []
    afters = [*(fence.before for fence in fences[1:]), "\n".join(before)]
    return [fence._replace(after=after) for fence, after in zip(fences, afters, strict=False)]


def is_closing_fence(line: str, fence: str) -> bool:
    """Whether a line ends the block that these marks opened."""
    stripped = line.strip(" \t")
    is_indented = len(line) - len(line.lstrip(" ")) > 3
    return not is_indented and len(stripped) >= len(fence) and set(stripped) == {fence[0]}


def _fence(
    opening: re.Match[str], lines: list[str], before: list[str], *, is_closed: bool
) -> Fence:
    indent = opening.start("fence")
    content = [line[min(indent, len(line) - len(line.lstrip(" "))) :] for line in lines]
    words = opening["info"].split()
    language = words[0].lower().strip("{}.") if words else ""
    content_text = "".join(line + "\n" for line in content)
    return Fence(language, content_text, is_closed, "\n".join(before))


def extract_code(text: str, language: str = "python") -> str:
    """The program in a model's answer; "" if there is none.

    Of several fenced blocks: those of the language (by any of its names) if there are any, else
    those without a language; of these the longest, the earlier of two of equal length (examples
    of use are shorter than the program). A block that does not parse because fences of the same
    length stand inside its code is read up to the fence that makes it whole. Without any fence,
    the text itself if it is a program, else what remains from the first line that begins a
    program of the language, cut before the first line after which it no longer parses.

    Raises MissingPackageError where only a grammar that is not installed could tell.
    """
    known = find_language(language)
    names = frozenset(known.aliases) if known else frozenset({language.lower()})
    fences = [fence for fence in parse_fences(text) if fence.content.strip()]
    if not fences:
        return _unfenced_program(text, language)
    if not any(_is_whole(fence, names, language) for fence in fences):
        fences = list(_nested_fences(text, names, language)) or fences
    for wanted in (names, frozenset({""})):
        matching = [fence.content for fence in fences if fence.language in wanted]
        if matching:
            return max(matching, key=len).strip("\n") + "\n"
    return ""


def _is_whole(fence: Fence, names: frozenset[str], language: str) -> bool:
    return (not fence.language or fence.language in names) and _is_program(fence.content, language)


def _nested_fences(text: str, names: frozenset[str], language: str) -> Iterator[Fence]:
    """Blocks read past the fences inside their code: to the first end that makes them parse."""
    lines = lines_of(text)
    for start, line in enumerate(lines):
        opening = _OPENING.match(line)
        if opening is None or _fence(opening, [], [], is_closed=True).language not in {*names, ""}:
            continue
        behind = range(start + 1, len(lines))
        ends = (e for e in behind if is_closing_fence(lines[e], opening["fence"]))
        for end in islice(ends, 1, _MOST_INNER_FENCES):
            fence = _fence(opening, lines[start + 1 : end], [], is_closed=True)
            if _is_program(fence.content, language):
                yield fence
                break


_MOST_INNER_FENCES = 12


def _is_program(code: str, language: str) -> bool:
    """Whether the code parses; True where nothing here can tell."""
    try:
        return find_language(language) is None or parses(code, language)
    except MissingPackageError:
        return True


_MOST_CUTS = 400


def _unfenced_program(text: str, language: str) -> str:
    known = find_language(language)
    if known is None:
        return ""
    starts = re.compile(known.starts)
    lines = lines_of(text.strip("\r\n"))
    start = next((i for i, line in enumerate(lines) if starts.match(line)), None)
    if start is None:
        return ""
    # Prose after the program is cut from the end: where Python says that it cannot go on (what
    # comes later cannot mend that), else line by line.
    end, tries = len(lines), 0
    while end > start and tries < _MOST_CUTS:
        code = "\n".join(lines[start:end]).rstrip() + "\n"
        if parses(code, language) and normalised_tokens(code, language):
            return code
        line = error_line(code) if known.name == "python" else 0
        end = min(end - 1, start + line - 1) if line else end - 1
        tries += 1
    return ""


# Underscores within words mark nothing.
_MARKDOWN = re.compile(r"([\\`*\[\]<>|~&$]|(?<![^\W_])_|_(?![^\W_]))")


def escape_markdown(text: str) -> str:
    """The text as it is on one line of Markdown: no mark-up, HTML or end of a table's cell."""
    return _MARKDOWN.sub(r"\\\1", re.sub(r"\s*\n\s*", " ", text))
