"""What a chat template writes of turns: every text of a row has to be in it, at its place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from codefavor.errors import DataError
from codefavor.judges.chat_tokens import without_empty_thought
from codefavor.records import Row
from codefavor.text import THINKING_BEGINS, THINKING_MARK
from codefavor.training.check_data import MEANINGS
from codefavor.training.check_readers import type_name
from codefavor.training.data_rows import files_of, first_rows
from codefavor.training.findings import Finding, entries_of, of_rows, shown

QUESTION, ANSWER, _RULE = "A probing question.", "A probing answer.", "A probing rule."
TURNS = (
    {"role": "user", "content": QUESTION},
    {"role": "assistant", "content": ANSWER},
)
_EMPTY_SYSTEM = {"role": "system", "content": ""}
_ROLES = {"system", "user", "assistant", "tool"}
_SIDES = ("chosen", "rejected", "completion")
# Readers that put the turns of a row into the chat template.
_TEMPLATED = ("chat_template", "codefavor.preferences", "bradley_terry.")


class Conversation(NamedTuple):
    """The turns that one sequence of a row is made of.

    `part` is the side that its last turn is of, "" without sides; `is_open` is a question that
    waits for its answer.
    """

    part: str
    turns: tuple[Row, ...]
    is_open: bool = False


class TemplateProblem(Exception):
    """Why a template cannot be used."""


def write(
    text: str,
    roles: Mapping[str, str],
    turns: Sequence[Mapping[str, Any]] = TURNS,
    *,
    opens: bool = False,
) -> str | None:
    """Turns as a template writes them; None where it wants another form."""
    from jinja2 import TemplateSyntaxError
    from transformers.utils.chat_template_utils import render_jinja_template

    named = {f"{role}_token": roles.get(role) or "" for role in ("bos", "eos")}
    render: Any = render_jinja_template
    try:
        [written], _ = render(
            [list(turns)], chat_template=text, add_generation_prompt=opens, **named
        )
    except TemplateSyntaxError as problem:
        raise TemplateProblem(f"line {problem.lineno}: {problem.message}") from problem
    except Exception:  # a template raises whatever it likes; images want turns in parts
        return None
    return str(written)


def lost_texts(text: str, roles: Mapping[str, str]) -> Iterator[str]:
    """What a template must write and does not, with a system's turn and without."""
    for before in ((), (_EMPTY_SYSTEM,)):
        one = write(text, roles, [*before, *TURNS])
        if one is None:
            continue  # some take no system's turn
        if ANSWER not in one:
            yield "the answer's text is not written by it, so nothing is learnt from it"
        if QUESTION not in one:
            yield "the question's text is not written by it, so answers are learnt without one"
        elif QUESTION in one.rpartition(ANSWER)[2]:
            yield (
                "the question's text is written behind the answer, where it is trained as a part "
                "of it; write it before"
            )
        asked = write(text, roles, [*before, TURNS[0]], opens=True)
        if asked is not None and QUESTION in one and QUESTION not in asked:
            yield (
                "the question's text is written with the answer alone, and not where an answer is "
                "asked for, so the trained model would be asked nothing; write it in its own turn"
            )


def drops_system(text: str, roles: Mapping[str, str]) -> bool:
    """Whether a template takes a system's turn and leaves out what it says."""
    one = write(text, roles, [{**_EMPTY_SYSTEM, "content": _RULE}, *TURNS])
    return one is not None and _RULE not in one


def conversations(row: Mapping[str, Any], entry: Mapping[str, Any]) -> list[Conversation]:
    """The turns of each sequence that a row gives; [] for rows of another form."""
    if not (entry.get("type") is None or type_name(entry).startswith(_TEMPLATED)):
        return []
    if isinstance(row.get("input"), str) and type_name(entry).startswith("bradley_terry."):
        before = [{"role": "user", "content": row["input"]}]
        if row.get("system"):
            before.insert(0, {"role": "system", "content": row["system"]})
        return [
            Conversation(side, (*before, {"role": "assistant", "content": row[side]}))
            for side in _SIDES[:2]
            if isinstance(row.get(side), str)
        ]
    prompt = row.get("prompt")
    asked = _turns(row.get(str(entry.get("field_messages") or "messages"), prompt), entry)
    sides = [one for one in _SIDES if isinstance(row.get(one), Mapping)]
    if asked and sides:
        ended = [(side, _turns([row[side]], entry)) for side in sides]
        return [Conversation(side, (*asked, *last)) for side, last in ended if last]
    is_open = bool(asked) and asked[-1]["role"] != "assistant"
    return [Conversation("", asked, is_open)] if asked else []


def _turns(value: Any, entry: Mapping[str, Any]) -> tuple[Row, ...]:
    """Turns with the usual keys and roles; () where one has no text.

    A role of the usual name is what it is called, whatever `roles` makes of it.
    """
    own = {name: role for role, listed in (entry.get("roles") or {}).items() for name in listed}
    names = {"role": "role", "content": "content", **(entry.get("message_property_mappings") or {})}
    names |= {one: str(entry.get(f"message_field_{one}") or names[one]) for one in names}
    found = []
    for turn in value if isinstance(value, list) else ():
        says = turn.get(names["content"]) if isinstance(turn, Mapping) else None
        role = turn.get(names["role"]) if isinstance(turn, Mapping) else None
        if not isinstance(says, str) or not isinstance(role, str):
            return ()
        usual = MEANINGS.get(role, role)
        role = usual if usual in _ROLES else str(own.get(role, role))
        found.append({"role": role, "content": says})
    return tuple(found)


def lost_turn(written: str, turns: Sequence[Row]) -> Row | None:
    """The first turn whose text is not in what was written of it; white space does not count."""
    there = squeezed(written)
    for number, turn in enumerate(turns, start=1):
        says = str(turn["content"])
        if turn["role"] == "assistant" and number < len(turns):
            says = says.rpartition("</think>")[2]  # many leave out the reasons of earlier turns
        if squeezed(says) not in there:
            return turn
    return None


def squeezed(text: str) -> str:
    """A text without its white space."""
    return "".join(text.split())


def row_findings(
    config: Mapping[str, Any], name: str, text: str, roles: Mapping[str, str], folder: Path
) -> Iterator[Finding]:
    """Rows that a template, called `name`, refuses for their system's turn or writes in part."""
    refuses = write(text, roles, [_EMPTY_SYSTEM, *TURNS]) is None
    for key, entry in entries_of(config):
        for file in files_of(entry, folder):
            try:
                sample = first_rows(file)
            except DataError:
                continue  # told already
            refused, lost, thought = [], [], []
            for where, row in sample:
                for one in conversations(row, entry):
                    if refuses and one.turns[0]["role"] == "system":
                        refused.append(where)
                        break
                    written = write(text, roles, one.turns, opens=one.is_open)
                    if written is not None and (turn := lost_turn(written, one.turns)):
                        lost.append((where, turn))
                        break
                    if mark := foreign_thought(text, roles, one.turns, type_name(entry)):
                        thought.append((where, mark))
                        break
            if refused:
                then = (
                    f", and the template of {config.get('base_model')} refuses one, even an empty "
                    "one; leave it out (codefavor convert --system none)"
                )
                yield of_rows(key, refused, sample, "have a system's turn", then)
            if lost:
                turn = lost[0][1]
                then = (
                    f": {shown(turn['content'])} is not in what {name} writes; add it to the "
                    "template, or put it into the question"
                )
                what = f"lose what a turn of the role {turn['role']!r} says"
                yield of_rows(key, [where for where, _ in lost], sample, what, then)
            if thought:
                then = (
                    f", and {name} writes {thought[0][1]} before every answer, where it is not "
                    "trained: the model would not learn to begin a thought, or learn to write a "
                    "second one; take a template that writes answers as they are (chatml, where "
                    "its tokens are the model's), or take the thoughts out"
                )
                places = [where for where, _ in thought]
                yield of_rows(key, places, sample, "answer with a thought of their own", then)


def foreign_thought(text: str, roles: Mapping[str, str], turns: Sequence[Row], kind: str) -> str:
    """The mark of a thought that a template writes before an answer that begins with one itself;
    "" where there is none, or the reader leaves it out."""
    answer = str(turns[-1]["content"])
    if turns[-1]["role"] != "assistant" or not re.match(rf"\s*(?:{THINKING_BEGINS})", answer):
        return ""
    written = write(text, roles, [*turns[:-1], {"role": "assistant", "content": ANSWER}]) or ""
    before = written.rpartition(ANSWER)[0]
    if kind == "codefavor.preferences":
        before = without_empty_thought(before, answer)
    if kind.startswith("bradley_terry."):
        return ""  # a reward is of the whole, however its parts are marked
    asked = str(turns[-2]["content"]).strip() if len(turns) > 1 else ""
    marks = THINKING_MARK.findall(before.rpartition(asked)[2] if asked else before)
    return str(marks[0]) if marks else ""
