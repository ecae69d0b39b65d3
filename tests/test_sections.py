"""Sections come whole out of every dress that models give their answers."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from codefavor.sections import (
    Section,
    canonical_tags,
    read_sections,
    read_text,
    without_thinking,
)
from codefavor.synthesis.forms import code_of

SECTIONS = (
    Section("INSTRUCTION"),
    Section("CRITERIA", ("CRITERION",)),
    Section("REJECTED_CODE", ("REJECTED",), is_code=True),
    Section("CHOSEN_CODE", ("CHOSEN",), is_code=True),
    Section("FEEDBACK"),
)
NAMES = [section.name for section in SECTIONS]


# Programs that earlier parsers damaged: a first word of letters that a careless strip eats, blank
# lines that mean something, words that are headers, fences inside strings, other alphabets.
PROGRAMS = {
    "plain": "def total(xs):\n    return sum(xs)\n",
    "try first": "try:\n    import tomllib\nexcept ImportError:\n    tomllib = None\n",
    "print first": "print('python')\n",
    "blank lines": "import os\n\n\ndef f():\n\n    return os.sep\n\n\nX = '''\n\n'''\n",
    "header words": (
        'def f(x):\n    """Do it.\n\n[FEEDBACK]\n    FEEDBACK: none.\nCriteria: speed\n'
        '    """\n    return x\n'
    ),
    "header comment": "# Instruction: add one\n# [CHOSEN_CODE]\ndef f(x):\n    return x + 1\n",
    "fence inside": 'HELP = """\n```\nf(1)\n```\n"""\n\n\ndef f(x):\n    return HELP\n',
    "odd fence inside": 'HELP = """\n```python\nf(1)\n"""\n\n\ndef f(x):\n    return HELP\n',
    "indented fence": 'def f(x):\n    """\n    ```\n    f(1)\n    ```\n    """\n    return x\n',
    "unicode": "def gr\u00f6\u00dfe(\u540d):\n    return '\u2028\x0c\U0001f40d' + \u540d\n",
}


class Style(NamedTuple):
    name: str
    header: Callable[[int, str], str]


def _title(name: str) -> str:
    return name.replace("_", " ").title()


STYLES = [
    Style("brackets", lambda i, name: f"[{name}]"),
    Style("brackets colon", lambda i, name: f"[{name}]:"),
    Style("bold brackets", lambda i, name: f"**[{name}]**"),
    Style("bold brackets colon", lambda i, name: f"**[{name}]:**"),
    Style("bold title", lambda i, name: f"**{_title(name)}**"),
    Style("bold title colon inside", lambda i, name: f"**{_title(name)}:**"),
    Style("bold title colon outside", lambda i, name: f"**{_title(name)}**:"),
    Style("lower brackets", lambda i, name: f"[{name.lower()}]"),
    Style("title brackets", lambda i, name: f"[{_title(name)}]"),
    Style("heading", lambda i, name: f"## {_title(name)}"),
    Style("heading brackets", lambda i, name: f"### [{name}]"),
    Style("heading bold number", lambda i, name: f"### {i}. **{_title(name)}**"),
    Style("number", lambda i, name: f"{i}. {_title(name)}:"),
    Style("number brackets", lambda i, name: f"{i}) [{name}]"),
    Style("bold number", lambda i, name: f"**{i}. {_title(name)}:**"),
    Style("upper colon", lambda i, name: f"{name}:"),
    Style("lower colon", lambda i, name: f"{name.lower().replace('_', ' ')}:"),
    Style("alone", lambda i, name: name),
    Style("bullet", lambda i, name: f"- **{_title(name)}**:"),
    Style("quoted space", lambda i, name: f"> [ {name} ]"),
    Style("wide brackets", lambda i, name: f"\u3010{name}\u3011\uff1a"),
    Style("heading language", lambda i, name: f"### {_title(name)} (Python):"),
    Style("code", lambda i, name: f"`{name}`"),
]
FENCES = ["```python", "```", "~~~py", "````python", '```Python title="a.py"', ""]
CHATTER = [
    ("", ""),
    ("Sure! Here is the answer in the format asked for:\n\n", "\n\n---\n"),
    ("Okay, instruction first, then the rest.\n\n---\n\n", "\n"),
]
TEXTS = {
    "INSTRUCTION": "Write `f(x)`: return x.\n\nNOTE that x is NOT NULL; a better one is welcome.",
    "CRITERIA": "A run time that grows with n only",
    "FEEDBACK": "[CHOSEN_CODE] is faster: it looks at each item once.\n\n"
    "[REJECTED_CODE] looks twice \u2014 at\u2026 all of them.",
}


class Case(NamedTuple):
    label: str
    text: str
    codes: tuple[str, str]


def _fenced(code: str, fence: str) -> str:
    """The code as a careful or careless model fences it; unfenced where the fence is ""."""
    if not fence:
        return code.strip("\n")
    mark = fence[:4] if fence.startswith("````") else fence[:3]
    return f"{fence}\n{code.rstrip(chr(10))}\n{mark}"


def _is_well_formed(program: str, fence: str) -> bool:
    """Without a fence, nobody can say which header line or fence belongs to the program."""
    return bool(fence) or not any(word in program for word in ("header", "fence"))


def cases() -> Iterator[Case]:
    """Every style with every fence and every program, in LF and CR LF, with and without chatter."""
    rng = random.Random(5)
    names = list(PROGRAMS)
    for style, fence, program in itertools.product(STYLES, FENCES, names):
        if not _is_well_formed(program, fence):
            continue
        before, after = rng.choice(CHATTER)
        rejected, chosen = (
            PROGRAMS[program],
            PROGRAMS[rng.choice(names)] if fence else PROGRAMS["plain"],
        )
        gap = rng.choice(["\n", "\n\n"])
        contents = {**TEXTS, "REJECTED_CODE": _fenced(rejected, fence)}
        contents["CHOSEN_CODE"] = _fenced(chosen, fence)
        layout = rng.choice(["apart", "inline", "template first", "reordered", "in a fence"])
        if layout == "inline":
            parts = [
                inline(style, i, name, contents[name], is_code="CODE" in name)
                for i, name in enumerate(NAMES, 1)
            ]
        else:
            parts = [f"{style.header(i, n)}\n{contents[n]}" for i, n in enumerate(NAMES, 1)]
        if layout == "template first":
            before += gap.join(style.header(i, n) for i, n in enumerate(NAMES, 1)) + "\n\n"
        if layout == "reordered" and fence:
            parts = [parts[0], parts[1], parts[3], parts[2], parts[4]]
        text = before + (gap + "\n").join(parts) + after
        if layout == "in a fence" and "fence" not in program and not before:
            text = f"```markdown\n{text}\n```"
        ending = rng.choice(["lf", "crlf"])
        if ending == "crlf":
            text = text.replace("\n", "\r\n")
        label = f"{style.name}/{fence}/{program}/{layout}/{ending}"
        yield Case(label, text, (rejected, chosen))


def inline(style: Style, i: int, name: str, content: str, *, is_code: bool) -> str:
    """The header with its text on the same line, where the style has a mark to end it."""
    header = style.header(i, name)
    marked = header.rstrip("*").endswith((":", "]", "\u3011", "\uff1a")) or "**" in header
    can_share = marked and (not is_code or content.startswith(("```", "~~~")))
    return header + (" " if can_share else "\n") + content


def _read(text: str) -> tuple[dict[str, str], str, str]:
    found = read_sections(text, SECTIONS)
    codes = [code_of(found.get(name, ""), "python") for name in ("REJECTED_CODE", "CHOSEN_CODE")]
    return found, codes[0], codes[1]


def test_less_than_one_in_a_hundred_well_formed_answers_is_lost() -> None:
    lost = []
    n = 0
    for case in cases():
        n += 1
        found, rejected, chosen = _read(case.text)
        texts = {name: read_text(found.get(name, "")) for name in TEXTS}
        if texts != TEXTS or (rejected, chosen) != case.codes:
            lost.append(case.label)
    assert n >= 500
    assert len(lost) == 0, f"{len(lost)} of {n}: {lost[:5]}"


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("", NAMES),
        ("I would rather not answer that.", NAMES),
        ("[INSTRUCTION]\nDo it.\n[CRITERIA]\nspeed", ["REJECTED_CODE", "CHOSEN_CODE", "FEEDBACK"]),
        ("[INSTRUCTION]\n\n[CRITERIA]\nspeed\n[FEEDBACK]\nno codes", ["INSTRUCTION", *NAMES[2:4]]),
        ("The instruction is clear. My feedback: the chosen code is better.", NAMES),
        ("[INSTRUCTION Do it.\nCRITERIA] speed", NAMES),
        ("[CHOSEN_CODE] is better than [REJECTED_CODE].", NAMES),
    ],
    ids=["empty", "refusal", "cut off", "empty section", "prose", "open bracket", "sentence"],
)
def test_what_is_not_there_is_not_found(text: str, missing: list[str]) -> None:
    found = read_sections(text, SECTIONS)
    assert [name for name in NAMES if name not in found] == missing


def test_text_right_behind_a_header_keeps_its_first_letters() -> None:
    # The original removed the letters of the header from the start of the text.
    found = read_sections("[INSTRUCTION]Create it\n[FEEDBACK]A better one", SECTIONS)
    assert found == {"INSTRUCTION": "Create it", "FEEDBACK": "A better one"}


def test_a_header_in_a_sentence_of_the_feedback_stays_there() -> None:
    text = "[CHOSEN_CODE]\n```\nx = 1\n```\n[FEEDBACK]\nSee:\n[CHOSEN_CODE]\nis shorter.\n"
    found = read_sections(text, SECTIONS)
    assert found["FEEDBACK"] == "See:\n[CHOSEN_CODE]\nis shorter."
    assert found["CHOSEN_CODE"] == "```\nx = 1\n```"


def test_prose_around_a_block_is_no_code_and_the_longest_block_is_the_program() -> None:
    content = (
        "Here it is:\n```python\ndef f(x):\n    return x\n```\nUse:\n```python\nf(1)\n```\nDone."
    )
    assert code_of(content, "python") == "def f(x):\n    return x\n"


def test_a_block_of_the_language_is_preferred_to_others() -> None:
    content = "```bash\npip install numpy scipy\n```\n```go\npackage x\n```"
    assert code_of(content, "go") == "package x\n"


TAGS = {
    "[CHOSEN]": ("CHOSEN_CODE", "CHOSEN", "IMPROVED_CODE"),
    "[REJECTED]": ("REJECTED_CODE", "REJECTED", "DRAFT"),
}


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("[CHOSEN_CODE] beats [REJECTED_CODE].", "[CHOSEN] beats [REJECTED]."),
        ("**[Chosen Code]** beats `REJECTED_CODE`.", "[CHOSEN] beats [REJECTED]."),
        ("CHOSEN CODE beats the DRAFT.", "[CHOSEN] beats the [REJECTED]."),
        ("[chosen] and [CHOSEN] stay.", "[CHOSEN] and [CHOSEN] stay."),
        # Prose is nobody's to rewrite: the words may mean something else.
        ("The improved code path rejected a draft.", "The improved code path rejected a draft."),
        ("UNCHOSEN_CODEX and xs[chosen_index]", "UNCHOSEN_CODEX and xs[chosen_index]"),
    ],
)
def test_mentions_become_one_tag_and_prose_stays(written: str, stored: str) -> None:
    assert canonical_tags(written, TAGS) == stored


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>\nyes? no.\n</think>\n\nno", "no"),
        ("First the gate.\n</think>\n[ANSWER] no", "[ANSWER] no"),
        ("<think>never ends", ""),
        ("print('</think>')\n", "print('</think>')\n"),
        ("yes", "yes"),
    ],
)
def test_thoughts_are_no_answer(text: str, answer: str) -> None:
    assert without_thinking(text) == answer
