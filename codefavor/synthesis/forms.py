"""Answers of a given form: what a model is asked to fill in, and reading it back strictly."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from codefavor.errors import ConfigError, Rejected
from codefavor.sections import Section, read_sections, read_text
from codefavor.text import extract_code, lines_of, parse_fences

AnswerFormat = Literal["json", "sections"]
FORMATS = ("auto", "json", "sections")
ASPECTS = ("correctness", "efficiency", "security", "readability", "other")


@dataclass(frozen=True)
class Field:
    """One part of an answer: a key in JSON, a header in capitals otherwise.

    `choices` are the words it may be, () for free text; `aliases` are other headers for it.
    """

    name: str
    is_code: bool = False
    choices: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Form:
    """The parts of one answer, in the order they are asked for."""

    fields: tuple[Field, ...]

    def schema(self) -> dict[str, Any]:
        """The JSON schema: an object whose properties are all required, as every service takes."""
        return {
            "type": "object",
            "properties": {
                field.name: {"type": "string"}
                | ({"enum": list(field.choices)} if field.choices else {})
                for field in self.fields
            },
            "required": [field.name for field in self.fields],
            "additionalProperties": False,
        }

    def read(self, text: str, answer_format: AnswerFormat, language: str) -> dict[str, str]:
        """The parts that the answer has, code without fences and ending in one line feed.

        The same parts give the same values in both formats. What is empty is missing. Raises
        Rejected (`bad_json_answer`) for text that is no JSON object where one was asked for.
        """
        names = {field.name for field in self.fields}
        is_json = answer_format == "json"
        raw = _read_json(text, names) if is_json else self._read_sections(text)
        values: dict[str, str] = {}
        for field in self.fields:
            content = raw.get(field.name)
            if not isinstance(content, str) or not content.strip():
                continue
            value = code_of(content, language) if field.is_code else read_text(content)
            if value.strip():
                values[field.name] = value
        return values

    def _read_sections(self, text: str) -> dict[str, str]:
        sections = [
            Section(
                field.name.upper(), tuple(alias.upper() for alias in field.aliases), field.is_code
            )
            for field in self.fields
        ]
        return {name.lower(): content for name, content in read_sections(text, sections).items()}


_TRAILING_COMMA = re.compile(r'("(?:\\.|[^"\\])*")|,(?=\s*[}\]])', re.DOTALL)
_DECODER = json.JSONDecoder(strict=False)


def _read_json(text: str, names: Collection[str]) -> Mapping[str, Any]:
    """The one object of an answer that has any of the keys, whatever prose, with braces too, is
    around it; keys in any case."""
    found: list[Mapping[str, Any]] = []
    for one in _objects(text):
        # A key as it was asked for counts before the same in capitals.
        read = {re.sub(r"[\s-]+", "_", key.strip().lower()): one[key] for key in one} | one
        if read not in found:
            found.append(read)
    asked = [one for one in found if not one.keys().isdisjoint(names)] or found
    if len(asked) != 1:
        raise Rejected("bad_json_answer", text.strip()[:200])
    return asked[0]


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Every outermost JSON object of a text. A comma behind the last value does no harm."""
    rest = text
    while (start := rest.find("{")) >= 0:
        rest, end = rest[start:], 1
        for one in (rest, _TRAILING_COMMA.sub(lambda match: match[1] or "", rest)):
            try:
                value, end = _DECODER.raw_decode(one)
            except (ValueError, RecursionError):
                continue
            rest = one
            yield value
            break
        rest = rest[end:]


_EMPTY_FENCE = re.compile(r"\s*(`{3,}|~{3,})[^\n`]*\n\s*\1\s*")


def code_of(content: str, language: str) -> str:
    """The program in a part of an answer, whatever stands around it; "" if there is none.

    Where none can be told from prose, all of the part: whoever checks programs refuses it.
    """
    if _EMPTY_FENCE.fullmatch(content):
        return ""
    fences = [fence.content for fence in parse_fences(content) if fence.content.strip()]
    code = extract_code(content, language) or max(fences, key=len, default=content)
    return code.strip("\n") + "\n" if code.strip() else ""


def require(values: Mapping[str, str], names: Sequence[str]) -> None:
    """Raise Rejected (`missing_section:<name>`) for the first of the parts that is not there."""
    for name in names:
        if name not in values:
            raise Rejected(f"missing_section:{name}", f"found {', '.join(values) or 'none'}")


def read_choice(text: str, choices: Sequence[str]) -> str:
    """The one choice that an answer begins with, as a whole word; "" if it is not plain.

    Case, markup and punctuation around it do not count, and neither does what a sentence goes
    on to say ("Yes, with NO doubt" is yes; "NOTE" is not no). Two choices joined by "and", "or"
    or a slash, or another choice alone on a later line, are not plain.
    """
    lines = [line for line in lines_of(text) if line.strip()]
    if not lines:
        return ""
    found = _leading(lines[0], choices)
    if not found or any(_alone(line, choices) not in ("", found) for line in lines[1:]):
        return ""
    return found


def _leading(line: str, choices: Sequence[str]) -> str:
    for choice in choices:
        match = re.match(rf"[\W_]*{_words(choice)}(?!\w)", line, re.IGNORECASE)
        if match is None:
            continue
        others = "|".join(_words(other) for other in choices if other != choice)
        rest = line[match.end() :]
        joined = rf"[\W_]*(?:(?:and|or)\b|[/|,&])[\W_]*(?:{others})(?!\w)[\W_]*(?:$|[.,;/|]|and|or)"
        return "" if others and re.match(joined, rest, re.IGNORECASE) else choice
    return ""


def _alone(line: str, choices: Sequence[str]) -> str:
    for choice in choices:
        if re.fullmatch(rf"[\W_]*{_words(choice)}[\W_]*", line, re.IGNORECASE):
            return choice
    return ""


def _words(choice: str) -> str:
    return r"[\s_-]*".join(re.escape(word) for word in choice.split("_"))


def resolve_format(wanted: str, *, can_json: bool) -> AnswerFormat:
    """ "json" or "sections" for what the user asked; auto takes sections.

    Programs inside JSON are written escaped, which costs a model right programs; sections lose
    nothing.

    Raises ConfigError for an unknown format, and for JSON from a backend that cannot.
    """
    if wanted not in FORMATS:
        raise ConfigError(f"unknown format {wanted!r}; known: {', '.join(FORMATS)}")
    if wanted == "json" and not can_json:
        raise ConfigError(
            "this backend takes no JSON schema; use --format sections, or auto, which finds out"
        )
    return "json" if wanted == "json" else "sections"
