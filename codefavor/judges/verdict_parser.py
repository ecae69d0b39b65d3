"""A verdict from a model's words: only what is plainly said counts, the rest is undecided."""

from __future__ import annotations

import re

from codefavor.judges.verdict_json import read_json
from codefavor.judges.verdict_labels import LABEL, NOUN, A, B, mark_labels
from codefavor.judges.verdict_languages import to_english
from codefavor.judges.verdict_scores import read_scores, table_result
from codefavor.judges.verdict_words import (
    BY_QUALITY,
    CONCLUDING,
    CORRECTING,
    IN_ONE_RESPECT,
    PLAIN,
    Reading,
    combine,
    read_clauses,
    takes_back,
)
from codefavor.records import Choice, Verdict

_TAGS = r"think|thinking|reasoning|thought|analysis|scratchpad"
_THINKING = re.compile(rf"<({_TAGS})>.*?</\1>|\[THINK\].*?\[/THINK\]", re.DOTALL | re.IGNORECASE)
_OPEN_THINKING = re.compile(rf"<(?:{_TAGS})>|\[THINK\]", re.IGNORECASE)
_THOUGHT_ENDS = re.compile(rf"</(?:{_TAGS})>|\[/THINK\]", re.IGNORECASE)
_FINAL_CHANNEL = re.compile(r"<\|channel\|>\s*final\s*<\|message\|>", re.IGNORECASE)
_OTHER_CHANNEL = re.compile(r"<\|channel\|>", re.IGNORECASE)
_SPECIAL = re.compile(
    r"<\|[^|<>\n]{1,40}\|>|</?s>|<(?:end_of_turn|start_of_turn|eos|pad|bos)>|\[/?INST\]"
)
# Some models repeat whose turn it is.
_ROLE = re.compile(r"^\s*(?:assistant|ai|judge|model)\s*:\s*(?=\S)", re.IGNORECASE)
_LATEX = re.compile(
    r"\\(?:text|textbf|textit|texttt|textrm|mathrm|mathbf|mathsf|mathit)\s*\{([^{}]*)\}"
)
_FENCE = re.compile(
    r"^[ \t]*(`{3,}|~{3,})([^\n]*)\n(.*?)(?:^[ \t]*\1|\Z)", re.DOTALL | re.MULTILINE
)

_CODE_LINE = re.compile(
    r"^\s*(?:def \w+\(|class \w+[(:]|return\b|import \w|from \w+ import|print\(|assert |"
    r"(?:if|for|while|elif|with) [^\n]*:$).*$",
    re.MULTILINE,
)
_NO_CODE = ("yaml", "yml", "text", "txt", "plaintext", "markdown", "md", "json", "xml", "toml")

_MARKER = re.compile(
    r"\[+(?:final[ _])?(?:RESULT|VERDICT|ANSWER|DECISION|WINNER)\]+|\*\*\[?RESULT\]?:?\*\*",
    re.IGNORECASE,
)
_HEADING = re.compile(
    r"^[^\w\n\[(<①②]*(?:(?:my|the|final|overall|better|preferred|selected|chosen|best|winning) )*"
    r"(?:result|verdict|answer|decision|conclusion|winner|choice|preference|pick|selection|judge?ment|"
    rf"recommendation|final(?=:)|overall(?=:)|response(?=:)|output(?=:)|(?:better|preferred|"
    rf"selected|chosen|best|winning) (?:{NOUN}|one)|(?:better|preferred|chosen|best)(?=:))"
    r"[*_\s]*(?:(?::|=>?|->|→|[-–—](?=\s)|\s(?:is|goes to)\b:?)|$)[*_\s]*",
    re.IGNORECASE | re.MULTILINE,
)
_RESULT_TAGS = (
    r"answer|winner|result|verdict|choice|better|decision|output|preference|preferred|selection|"
    r"final_answer|final_verdict|final|conclusion|judgment|selected"
)
# Forms in which models are trained to wrap a final answer.
_WRAPPED = re.compile(
    rf"\\boxed\s*\{{(.*?)\}}|<({_RESULT_TAGS})>(.*?)</\2>|<\w+[^<>]*\b(?:{_RESULT_TAGS})=[\"'](.*?)[\"']",
    re.DOTALL | re.IGNORECASE,
)
# The answer in front of its reasons: a label that ends there or goes on to say why.
_HEAD = re.compile(
    rf"^[\W_]*?{LABEL}[\"'*_`\])}}]*(?:\W*$|[.!]|\s*\(|,?\s*(?:because|since|as it|due to|for "
    rf"its|by (?:far|an?))\b)",
    re.IGNORECASE,
)
_HEAD_MARKED = re.compile(
    rf"^[\W_]*?{LABEL}\W*(?:$|[.!,:;(–—-]|because|since|as it|due to)", re.IGNORECASE
)
_TIE_HEAD = re.compile(
    r"^\W*(?:it'?s |it is )?(?:a )?(?:tie|draw|tied|equal|equally good|both equal(?:ly good)?|"
    r"no (?:\w+ )?difference|equivalent|identical|the same)\W*(?:$|[.,(:-]|because|since)",
    re.IGNORECASE,
)
_BARE = r"[\s.,:;()\[\]{}>#\"'-]*"
_COURTESY = re.compile(
    r"\b(?:let me know|hope (?:this|that|it)|feel free|if you (?:have|need|want|would)|please let|"
    r"happy to help|good luck)\b|^[\W_]*$",
    re.IGNORECASE,
)


def parse_verdict(text: str) -> Verdict:
    """The verdict that a reply states, with the reply as `raw`.

    A JSON object is read first; then the text after the last [RESULT], then a heading such as
    "Verdict:", then the first and the last line, then sentences that conclude. It must say
    plainly that one candidate is better, or that they are equal; contradiction, doubt, bare
    negation and what was cut off are undecided.
    """
    visible = _visible(text)
    if visible is None:
        return Verdict("undecided", None, text)
    choice = read_json(_without_programs(visible), _from_label)
    if choice is None:
        choice = _from_prose(visible)
    return Verdict(choice, None, text)


def _visible(text: str) -> str | None:
    """The reply without its thinking; None where the thinking never ended."""
    final = _FINAL_CHANNEL.split(text)
    if len(final) > 1:
        text = final[-1]
    elif _OTHER_CHANNEL.search(text):
        return None
    text = _THINKING.sub("", text)
    # Some templates open the thinking in the prompt, so that a reply holds its end alone.
    text = _THOUGHT_ENDS.split(text)[-1]
    if _OPEN_THINKING.search(text):
        return None
    return _ROLE.sub("", _SPECIAL.sub("", text))


def _from_label(text: str) -> Choice:
    """The choice of a field or of a wrapped answer."""
    return _from_section(mark_labels(to_english(_plain(text))), is_marked=True) or "undecided"


def _without_programs(text: str) -> str:
    """The text without fenced blocks of a programming language: their objects are no answers."""
    return _FENCE.sub(lambda match: match.group() if _is_no_code(match.group(2)) else "\n", text)


def _is_no_code(language: str) -> bool:
    return language.strip().lower() in ("", *_NO_CODE)


def _plain(text: str) -> str:
    """The text without LaTeX and code: fenced blocks longer than a line, lines that are Python."""
    for _ in range(2):
        text = _LATEX.sub(r"\1", text)
    text = text.replace("$", "").replace("\\(", "").replace("\\)", "")
    text = _FENCE.sub(lambda match: _kept(match.group(2), match.group(3)), text)
    return _CODE_LINE.sub("", text)


def _kept(language: str, block: str) -> str:
    if language.strip().lower() in _NO_CODE:
        return block
    lines = [line for line in block.splitlines() if line.strip()]
    return f"{lines[0]}\n" if len(lines) == 1 and len(lines[0]) < 60 else "\n\n"


def _from_prose(text: str) -> Choice:
    plain = _plain(text)
    wrapped = [box or tag or field for box, _, tag, field in _WRAPPED.findall(plain)]
    if wrapped:
        choices = {_from_label(one) for one in wrapped}
        return choices.pop() if len(choices) == 1 else "undecided"
    marked = mark_labels(to_english(plain))
    marked = table_result(marked)
    by_marker = _from_markers(marked)
    if by_marker is not None:
        return by_marker
    parts = [part for part in _HEADING.split(marked)[1:] if part.strip()]
    choice = _from_section(parts[-1], is_marked=True) if parts else None
    if choice is None:
        choice = _from_lines(marked)
    return choice or read_scores(marked) or "undecided"


def _from_markers(text: str) -> Choice | None:
    """What stands after the last [RESULT]; None without one."""
    if not _MARKER.search(text):
        return None
    kept = "\n".join(line for line in text.split("\n") if len(_MARKER.findall(line)) < 2)
    parts = _MARKER.split(kept)[1:]
    if not parts:
        # "[RESULT] A or [RESULT] B" names the choices: only the whole line says what is meant.
        parts = [_MARKER.sub("", text).strip().split("\n")[-1]]
    answers = [_from_section(part, is_marked=True) for part in parts]
    given = [answer for answer in answers if answer is not None]
    if not given:
        return read_scores(parts[-1]) or "undecided"
    # Two results that differ are one mind only where the first is taken back in between.
    is_one = len(set(given)) == 1 or any(takes_back(part) for part in parts[:-1])
    return given[-1] if is_one else "undecided"


def _from_section(text: str, *, is_marked: bool) -> Choice | None:
    """The choice of a text that states the result; None where it states none."""
    lines = [line.strip() for line in text.strip().split("\n") if line.strip()]
    if not lines:
        return None
    head = _head(lines, is_marked=is_marked)
    if head is None:
        return combine(read_clauses(text), BY_QUALITY if is_marked else IN_ONE_RESPECT)
    choice, rest = head
    return _with_rest(choice, read_clauses("\n".join([rest, *lines[1:]])))


def _head(lines: list[str], *, is_marked: bool) -> tuple[Choice, str] | None:
    """The answer with which a text begins, and what follows it on its line."""
    if re.match(r"^\W*([①②])\W*(?!\1)[①②③]|^\W*③", lines[0]):
        return None
    tie = _TIE_HEAD.match(lines[0])
    if tie:
        return "tie", lines[0][tie.end() :]
    match = (_HEAD_MARKED if is_marked else _HEAD).match(lines[0])
    if match is None or _is_list(match.group(1), lines):
        return None
    rest = lines[0][match.end(1) :]
    return ("A" if match.group(1) == A else "B"), rest


def _is_list(label: str, lines: list[str]) -> bool:
    """Whether the text goes through the candidates one by one, so that its first is no answer."""
    other = B if label == A else A
    if any(re.match(rf"^[\W_]*{other}\W*(?:$|[.:(–—-])", line) for line in lines[1:]):
        return True
    return (
        len(lines) > 1
        and re.match(r"^(?:```|def |class |import |from \w+ import)", lines[1]) is not None
    )


def _with_rest(choice: Choice, rest: list[Reading]) -> Choice:
    """An answer and its explanation: only a plain statement to the contrary stands against it."""
    against = [
        one
        for one in rest
        if one.strength >= PLAIN and one.choice not in (None, choice, "undecided")
    ]
    if not against:
        return choice
    corrections = {one.choice for one in against if one.strength == CORRECTING}
    corrected = corrections.pop() if len(corrections) == 1 else None
    return corrected or "undecided"


def _from_lines(text: str) -> Choice | None:
    """What the first and the last line say; where they say nothing, what any line concludes."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    while len(lines) > 1 and _COURTESY.search(lines[-1]) and not re.search(LABEL, lines[-1]):
        lines.pop()
    if not lines:
        return None
    alone = {
        match.group(1) for line in lines if (match := re.fullmatch(rf"{_BARE}{LABEL}{_BARE}", line))
    }
    if len(alone) > 1:
        return "undecided"
    last = _from_section(lines[-1], is_marked=False)
    if len(lines) == 1:
        return last
    first = _first_line(lines)
    if last is not None or first is not None:
        stated = {choice for choice in (first, last) if choice is not None}
        return stated.pop() if len(stated) == 1 else "undecided"
    concluding = [one for one in read_clauses("\n".join(lines)) if one.strength >= CONCLUDING]
    return combine(concluding, CONCLUDING)


def _first_line(lines: list[str]) -> Choice | None:
    """The answer that comes before its reasons: a label, or a plain whole sentence."""
    head = _head(lines, is_marked=False)
    if head is not None:
        return _with_rest(head[0], read_clauses("\n".join(lines[1:])))
    readings = read_clauses(lines[0])
    if not re.search(r"[.!:*)]$", lines[0]):
        return None
    choice = combine(readings, PLAIN)
    return (
        None
        if choice in (None, "undecided")
        else _with_rest(choice, read_clauses("\n".join(lines[1:])))
    )
