"""Tagged sections of a model's answer, however the model dressed up their headers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from codefavor.text import is_closing_fence, lines_of, opening_fence

_SPACE = "[ \t\u00a0]"
_RULE = re.compile(r"^\s*(?:-{3,}|={3,}|\*{3,}|_{3,})\s*$")
_WRAPPER = re.compile(r"^\s*(?:`{3,}|~{3,})\s*(?:markdown|md|text|plaintext)?\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class Section:
    """One section that was asked for: its name, other names for it, and whether it is code."""

    name: str
    aliases: tuple[str, ...] = ()
    is_code: bool = False


class _Header(NamedTuple):
    line: int
    order: int
    style: tuple[bool, ...]
    rest: str


def read_sections(text: str, sections: Sequence[Section]) -> dict[str, str]:
    """What stands under each header, in the order asked for; those that do not occur are missing.

    A header is a section's name in any case, with blanks, hyphens or underscores between its
    words, in brackets, bold, numbered, as a Markdown heading, before a colon, or alone on its
    line; text after it on its line belongs to its section, but a code section begins on the next
    line or with a fence (a sentence that begins with "[CHOSEN] is" is no header). Headers inside
    fenced blocks are content, unless more are found when fences are ignored. Where a name occurs
    several times, the run of headers counts that names most sections, if possible in the order
    asked for and in one style, and the last one of equals: models repeat the format before they
    fill it. Each text is as it was written, with line feeds for line breaks, without blank lines
    and rules around it.
    """
    lines = _unwrapped(lines_of(text))
    runs = [
        (len(run), run == sorted(run, key=_order), not ignoring, is_styled, run[0].line, run)
        for ignoring in (False, True)
        for is_styled, headers in _by_style(list(_headers(lines, sections, ignoring)))
        for run in _runs(headers)
    ]
    if not runs:
        return {}
    best = max(runs, key=lambda one: one[:-1])[-1]
    ends = [*(header.line for header in best[1:]), len(lines)]
    found: dict[str, str] = {}
    for header, end in zip(best, ends, strict=True):
        found[sections[header.order].name] = _content(header.rest, lines[header.line + 1 : end])
    return {section.name: found[section.name] for section in sections if found.get(section.name)}


def _order(header: _Header) -> int:
    return header.order


def _by_style(headers: list[_Header]) -> Iterator[tuple[bool, list[_Header]]]:
    """The headers of each style alone, and all of them."""
    for style in {header.style for header in headers}:
        yield True, [header for header in headers if header.style == style]
    yield False, headers


def _runs(headers: Sequence[_Header]) -> Iterator[list[_Header]]:
    """From each header on, the first of each name."""
    for start in range(len(headers)):
        run: dict[int, _Header] = {}
        for header in headers[start:]:
            run.setdefault(header.order, header)
        yield list(run.values())


def _unwrapped(lines: Sequence[str]) -> Sequence[str]:
    """The lines without a fence that stands around all of them."""
    written = [number for number, line in enumerate(lines) if line.strip()]
    if len(written) > 1 and _WRAPPER.match(lines[written[0]]):
        fence = opening_fence(lines[written[0]])
        if fence and is_closing_fence(lines[written[-1]], fence):
            return lines[written[0] + 1 : written[-1]]
    return lines


def _pattern(section: Section) -> re.Pattern[str]:
    names = "|".join(_words(name) for name in (section.name, *section.aliases))
    return re.compile(
        rf"^{_SPACE}{{0,3}}(?:>{_SPACE}*)?"
        rf"(?P<heading>\#{{1,6}}{_SPACE}*)?"
        rf"(?P<number>[-+•]{_SPACE}+|\*{_SPACE}+|[*_]*\(?\d{{1,2}}[.):]{_SPACE}*)?"
        rf"(?P<open>[*_`\[【]*){_SPACE}*(?:\d{{1,2}}[.)]{_SPACE}*)?"
        rf"(?P<name>{names}){_SPACE}*(?P<close>[*_`\]】]*)"
        rf"(?:{_SPACE}*\([^()]*\))?(?P<colon>{_SPACE}*[:：])?(?P<after>[*_`]*)"
        rf"(?:(?<=[\]】*`:：])|(?![\w\]】])){_SPACE}*(?P<rest>.*)$",
        re.IGNORECASE,
    )


def _words(name: str) -> str:
    return rf"[{_SPACE[1:-1]}_-]*".join(re.escape(word) for word in name.split("_"))


def _headers(
    lines: Sequence[str], sections: Sequence[Section], ignore_fences: bool
) -> Iterator[_Header]:
    patterns = [_pattern(section) for section in sections]
    fence = ""
    for number, line in enumerate(lines):
        if fence:
            fence = "" if is_closing_fence(line, fence) else fence
            continue
        rest = line
        for order, (section, pattern) in enumerate(zip(sections, patterns, strict=True)):
            match = pattern.match(line)
            if match and _is_header(match, section):
                rest = match["rest"].strip()
                yield _Header(number, order, _style(match), rest)
                break
        # After a header, what is left of its line can open a fence.
        fence = "" if ignore_fences else opening_fence(rest)


def _is_header(match: re.Match[str], section: Section) -> bool:
    is_open = bool({*"[【"} & {*match["open"]})
    if is_open != bool({*"]】"} & {*match["close"]}):
        return False
    rest = match["rest"].strip()
    if not rest or section.is_code:
        return not rest or bool(opening_fence(rest))
    is_bold = "**" in match["open"] and "**" in match["close"] + match["after"]
    return is_open or is_bold or bool(match["colon"])


def _style(match: re.Match[str]) -> tuple[bool, ...]:
    is_bracketed = bool({*"[【"} & {*match["open"]})
    is_bold = "**" in match["open"] or "**" in (match["number"] or "")
    return bool(match["heading"]), is_bracketed, is_bold, bool(match["number"])


def _content(rest: str, lines: Sequence[str]) -> str:
    kept = [rest, *lines] if rest else list(lines)
    while kept and (not kept[0].strip() or _RULE.match(kept[0])):
        kept = kept[1:]
    while kept and (not kept[-1].strip() or _RULE.match(kept[-1])):
        kept = kept[:-1]
    return "\n".join(kept)


def without_thinking(text: str) -> str:
    """The answer without the thoughts that some servers leave before it, up to `</think>`.

    The opening mark may be missing: some chat templates write it themselves. Then the closing
    one must stand alone on its line, as it does where models end their thoughts.
    """
    if text.lstrip().startswith("<think>"):
        return text.partition("</think>")[2].lstrip("\r\n")
    return re.split(r"(?m)^[ \t]*</think>[ \t]*\r?$\n?", text, maxsplit=1)[-1]


def read_text(content: str) -> str:
    """The prose of a section, without blanks around it and without a fence that nothing opened."""
    lines = content.split("\n")
    if lines and re.fullmatch(r"\s*(`{3,}|~{3,})\s*", lines[-1]):
        marks = sum(bool(opening_fence(line)) for line in lines)
        if marks % 2:
            lines = lines[:-1]
    return "\n".join(lines).strip()


def canonical_tags(text: str, tags: Mapping[str, Sequence[str]]) -> str:
    """The text with every mention of a program replaced by its one tag.

    `tags` maps "[CHOSEN]" to the names it goes by, such as ("CHOSEN_CODE", "CHOSEN"). A mention
    is a name in brackets or backticks in any case, or its words in capitals. Other prose stays,
    "the improved code" too: what that means is the author's to say.
    """
    for tag, names in tags.items():
        for name in sorted(names, key=len, reverse=True):
            words = _words(name)
            marked = rf"[*_`]{{0,3}}\[{_SPACE}{{0,3}}{words}{_SPACE}{{0,3}}\][*_`]{{0,3}}|`{words}`"
            text = re.sub(marked, tag, text, flags=re.IGNORECASE)
            text = re.sub(rf"(?<![\w\[]){words}(?![\w\]])", tag, text)
    return text
