"""Tagged sections of a model's answer, however the model dressed up their headers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from codefavor.text import is_closing_fence, lines_of, opening_fence, parse_fences

_SPACE = "[ \t\u00a0]"
_RULE = re.compile(r"^\s*(?:-{3,}|={3,}|\*{3,}|_{3,})\s*$")
_WRAPPER = re.compile(r"^\s*(?:`{3,}|~{3,})\s*(?:markdown|md|text|plaintext)?\s*$", re.IGNORECASE)
_OPENERS, _CLOSERS = "[【", "]】"


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
    fenced blocks are content. Where a name occurs several times, the chain that names most
    sections in the order asked for counts, in one style if possible and the last one of equals:
    models repeat the format before they fill it. Each text is as it was written, with line
    feeds for line breaks, without blank lines and rules around it.
    """
    lines = _unwrapped(lines_of(text))
    patterns = [_pattern(section) for section in sections]
    best: list[_Header] = []
    for ignore_fences in (False, True):
        # Nested fences can swallow the headers after them: then they are read as if not there.
        headers = _headers(lines, sections, patterns, ignore_fences=ignore_fences)
        for chain in _chains(headers, len(sections)):
            if len(chain) > len(best):
                best = chain
    found: dict[str, str] = {}
    in_text = sorted(best, key=lambda header: header.line)
    ends = [*(header.line for header in in_text[1:]), len(lines)]
    for header, end in zip(in_text, ends, strict=False):
        content = _content(header.rest, lines[header.line + 1 : end])
        if content:
            found[sections[header.order].name] = content
    return {section.name: found[section.name] for section in sections if section.name in found}


def _unwrapped(lines: Sequence[str]) -> Sequence[str]:
    """The lines without a fence that stands around all of them."""
    written = [number for number, line in enumerate(lines) if line.strip()]
    if len(written) > 1 and _WRAPPER.match(lines[written[0]]):
        fence = opening_fence(lines[written[0]])
        if fence and is_closing_fence(lines[written[-1]], fence):
            return lines[written[0] + 1 : written[-1]]
    return lines


def _pattern(section: Section) -> re.Pattern[str]:
    names = "|".join(
        rf"[{_SPACE[1:-1]}_-]*".join(re.escape(word) for word in name.split("_"))
        for name in (section.name, *section.aliases)
    )
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


def _headers(
    lines: Sequence[str],
    sections: Sequence[Section],
    patterns: Sequence[re.Pattern[str]],
    *,
    ignore_fences: bool,
) -> list[_Header]:
    found: list[_Header] = []
    fence = ""
    for number, line in enumerate(lines):
        if fence:
            fence = "" if is_closing_fence(line, fence) else fence
            continue
        for order, (section, pattern) in enumerate(zip(sections, patterns, strict=True)):
            match = pattern.match(line)
            if match and _is_header(match, section):
                found.append(_Header(number, order, _style(match), match["rest"].strip()))
                break
        if not ignore_fences:
            fence = opening_fence(_after_header(line, found, number))
    return found


def _after_header(line: str, found: Sequence[_Header], number: int) -> str:
    """What of a line can open a fence: after a header, the rest of its line."""
    return found[-1].rest if found and found[-1].line == number else line


def _is_header(match: re.Match[str], section: Section) -> bool:
    opened = any(mark in match["open"] for mark in _OPENERS)
    closed = any(mark in match["close"] for mark in _CLOSERS)
    if opened != closed:
        return False
    rest = match["rest"].strip()
    if not rest:
        return True
    if section.is_code:
        return bool(opening_fence(rest))
    is_bold = "**" in match["open"] and "**" in match["close"] + match["after"]
    return opened or is_bold or bool(match["colon"])


def _style(match: re.Match[str]) -> tuple[bool, ...]:
    is_bracketed = any(mark in match["open"] for mark in _OPENERS)
    is_bold = "**" in match["open"] or "**" in (match["number"] or "")
    return bool(match["heading"]), is_bracketed, is_bold, bool(match["number"])


def _chains(headers: Sequence[_Header], n_sections: int) -> list[list[_Header]]:
    """Candidates, best first: in order and of one style, in order, each name once in any order."""
    styles = sorted({header.style for header in headers}, reverse=True)
    groups = [[h for h in headers if h.style == style] for style in styles]
    if len(groups) != 1:
        groups.append(list(headers))
    chains = [_in_order(group, n_sections) for group in groups]
    for group in groups:
        once = [h for h in group if sum(other.order == h.order for other in group) == 1]
        chains.append(once)
    return chains


def _in_order(headers: Sequence[_Header], n_sections: int) -> list[_Header]:
    """The longest chain of ascending order; of equals the one that starts last, then is nearest."""
    # best[i]: the chain that starts with header i, built from the end.
    best: list[list[_Header]] = [[] for _ in headers]
    for index in range(len(headers) - 1, -1, -1):
        own = headers[index]
        tail: list[_Header] = []
        for later in range(index + 1, len(headers)):
            if headers[later].order > own.order and len(best[later]) > len(tail):
                tail = best[later]
        best[index] = [own, *tail]
        if len(best[index]) == n_sections:
            return best[index]
    return max(reversed(best), key=len, default=[])


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


def read_code(content: str, names: Sequence[str], parses: Callable[[str], bool]) -> str:
    """The program of a code section; "" if there is none. No letter and no inner line is lost.

    `names` are what a fence may call the language, `parses` whether a text is a program in it.
    The first of these that parses, else the first: the fenced blocks of the language, longest
    first; everything between the first fence and the last (a program that contains fences);
    unfenced, the whole section.
    """
    candidates = _code_candidates(content, names)
    for code in candidates:
        if parses(code):
            return code
    return candidates[0] if candidates else ""


def _code_candidates(content: str, names: Sequence[str]) -> list[str]:
    lines = lines_of(content)
    fences = [fence for fence in parse_fences(content) if fence.content.strip()]
    if not fences:
        bare = "\n".join(line for line in lines if not opening_fence(line))
        return [_ended(bare)] if bare.strip() else []
    named = [fence for fence in fences if fence.language in names]
    plain = [fence for fence in fences if not fence.language]
    chosen = sorted(named or plain or fences[:1], key=lambda fence: -len(fence.content))
    return [*(_ended(fence.content) for fence in chosen), _ended(_widest(lines))]


def _widest(lines: Sequence[str]) -> str:
    """The lines between the first opening fence and the last line that can close it."""
    first = next(number for number, line in enumerate(lines) if opening_fence(line))
    fence = opening_fence(lines[first])
    last = len(lines)
    for number in range(len(lines) - 1, first, -1):
        if is_closing_fence(lines[number], fence):
            last = number
            break
    return "\n".join(lines[first + 1 : last])


def _ended(code: str) -> str:
    return code.strip("\n") + "\n"


def canonical_tags(text: str, tags: Mapping[str, Sequence[str]]) -> str:
    """The text with every mention of a program replaced by its one tag.

    `tags` maps "[CHOSEN]" to the names it goes by, such as ("CHOSEN_CODE", "CHOSEN"). A mention
    is a name in brackets or backticks in any case, or its words in capitals. Other prose stays,
    "the improved code" too: what that means is the author's to say.
    """
    for tag, names in tags.items():
        for name in sorted(names, key=len, reverse=True):
            words = rf"[{_SPACE[1:-1]}_-]*".join(re.escape(word) for word in name.split("_"))
            marked = rf"[*_`]{{0,3}}\[{_SPACE}{{0,3}}{words}{_SPACE}{{0,3}}\][*_`]{{0,3}}|`{words}`"
            text = re.sub(marked, tag, text, flags=re.IGNORECASE)
            text = re.sub(rf"(?<![\w\[]){words}(?![\w\]])", tag, text)
    return text
