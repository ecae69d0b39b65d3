"""The turns of published rows: prompts and replies as texts, messages or marked dialogues.

A value that cannot be read is a ValueError that names its field; one that can be read and gives
nothing to train on is Rejected.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from codefavor.errors import Rejected
from codefavor.records import Row

# OpenAI's newer name of the system's turn is one of them.
_ROLES = {
    "developer": "system",
    "gpt": "assistant",
    "human": "user",
    "model": "assistant",
    "prompter": "user",
}
_KNOWN_ROLES = {"system", "user", "assistant"}
_OF_A_TURN = {"role", "from", "content", "value"}


# How a text begins that is a list of turns, or one, as JSON or as Python writes it.
_WRITTEN_TURNS = re.compile(r"\s*\[?\s*\{\s*(['\"])(role|from|content|value)\1\s*:")


def decoded(value: Any, field: str) -> Any:
    """Turns that a table (CSV) holds as a text, as JSON or as Python wrote them, as turns again.

    Anything else is given as it is. Raises ValueError for such a text that cannot be read.
    """
    if not isinstance(value, str) or not _WRITTEN_TURNS.match(value):
        return value
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(value.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        turns = found if isinstance(found, list) else [found]
        if all(isinstance(one, dict) and _is_turn(one) for one in turns):
            return found
        return value
    raise ValueError(
        f"{field!r} is {shown(value)}: turns written as a text that is neither JSON nor Python (as "
        "pandas writes them to CSV); write JSON Lines or Parquet instead"
    )


def _is_turn(value: Mapping[str, Any]) -> bool:
    return bool({"role", "from"} & set(value)) and bool({"content", "value"} & set(value))


def read_turns(value: Any, field: str) -> tuple[Row, ...]:
    """A prompt as messages: a text is one user's turn, or a dialogue as HH-RLHF writes it."""
    if isinstance(value, str):
        return read_dialogue(value) or ({"role": "user", "content": value},)
    if value == []:
        raise Rejected(f"empty_{field}", f"{field!r} has no turn")
    turns = []
    messages = [value] if isinstance(value, Mapping) else value
    for message in objects_in(messages, field, "a text or a list of messages"):
        role = message.get("role") or message.get("from")
        if not isinstance(role, str):
            raise ValueError(f"{field!r} has a message without 'role' (or 'from')")
        content = _joined(message.get("content", message.get("value")))
        if not isinstance(content, str) or message.get("tool_calls"):
            raise Rejected("not_text", "a message has parts that are not text")
        role = _ROLES.get(role, role)
        if role not in _KNOWN_ROLES:
            raise Rejected("unknown_role", f"{field!r} has a turn of {role!r}")
        turns.append({"role": role, "content": content})
    return tuple(turns)


def beside_text(value: Any) -> list[str]:
    """The keys of messages, such as `reasoning_content`, that hold something and are not read."""
    messages = [value] if isinstance(value, Mapping) else value if isinstance(value, list) else []
    turns = [one for one in messages if isinstance(one, Mapping) and {"role", "from"} & set(one)]
    found = (key for turn in turns for key, held in turn.items() if held not in (None, "", [], {}))
    return sorted(set(found) - _OF_A_TURN)


def _joined(content: Any) -> Any:
    """The text of a content that is a list of texts, any other content as it is."""
    if not isinstance(content, list) or not all(isinstance(part, Mapping) for part in content):
        return content
    texts = [part.get("text", part.get("value")) for part in content if part.get("type") == "text"]
    is_text = len(texts) == len(content) and all(isinstance(text, str) for text in texts)
    return "".join(texts) if is_text else content


def objects_in(value: Any, field: str, what: str) -> list[Mapping[str, Any]]:
    """The value, which is a list of objects."""
    if isinstance(value, list) and all(isinstance(one, Mapping) for one in value):
        return value
    raise ValueError(f"{field!r} is {shown(value)}; expected {what}")


def shown(value: Any) -> str:
    """A value as an error shows it."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


# Marks of HH-RLHF behind a blank line, or each on a line of its own where there is no such one.
_MARKS = tuple(re.compile(rf"(?:^|{gap})(Human|Assistant|System): ?") for gap in ("\n\n", "\n"))
# Between the turns of a HelpSteer prompt; the first is the user's and has no mark.
_EXTRA_IDS = re.compile(r"(?:^|\n?)<extra_id_[01]>(User|Assistant|System)\n")


def read_dialogue(text: str) -> tuple[Row, ...]:
    """The turns of a text with marks of HH-RLHF or HelpSteer; () for one without."""
    if _EXTRA_IDS.search(text):
        parts = ["User", *_EXTRA_IDS.split(text)]
        turns = [
            {"role": role.lower(), "content": content.strip()}
            for role, content in zip(parts[::2], parts[1::2], strict=True)
        ]
        return tuple(turns if turns[0]["content"] else turns[1:])
    # "Human:" alone is the beginning of a sentence, unless it stands as HH-RLHF has it.
    if "\nAssistant:" not in text and not text.startswith("\n\nHuman:"):
        return ()
    marks = _MARKS["\n\nAssistant:" not in text and not text.startswith("\n\n")]
    start, *parts = marks.split(text.strip() + " ")
    if start.strip() or "Human" not in parts[::2]:
        return ()
    roles = {"Human": "user", "Assistant": "assistant", "System": "system"}
    turns = [
        {"role": roles[role], "content": content.strip()}
        for role, content in zip(parts[::2], parts[1::2], strict=True)
    ]
    # A prompt may end with the mark of the answer that is to come.
    is_open = turns[-1] == {"role": "assistant", "content": ""}
    return tuple(turns[:-1] if is_open else turns)


def read_prompt(row: Row, column: str, own_turns: tuple[Row, ...] | None = None) -> tuple[Row, ...]:
    """The turns before the answer: the column's, with the row's system, history and input.

    `own_turns` are the column's turns where they were read already.
    """
    return read_question(with_system(row, turns_before(row, column, own_turns)))


def turns_before(
    row: Row, column: str, own_turns: tuple[Row, ...] | None = None
) -> tuple[Row, ...]:
    """The turns before the answer without the row's system: the column's, history and input."""
    turns = read_turns(row[column], column) if own_turns is None else own_turns
    if (
        column == "instruction"
        and turns
        and isinstance(row.get("input"), str)
        and row["input"].strip()
    ):
        turns = (*turns[:-1], {**turns[-1], "content": f"{turns[-1]['content']}\n\n{row['input']}"})
    history = [] if column == "history" else row.get("history") or []
    if not isinstance(history, list) or not all(map(_is_exchange, history)):
        raise ValueError(f"'history' is {shown(history)}; expected a list of [question, answer]")
    for question, answer in reversed(history):
        before = {"role": "user", "content": question}, {"role": "assistant", "content": answer}
        turns = (*before, *turns)
    return turns


def with_system(row: Row, turns: tuple[Row, ...]) -> tuple[Row, ...]:
    """The turns behind the system turn of the row's columns, unless they have one of their own.

    A column that says something else than that one is not read: so it is told as not used.
    """
    turns = _without_empty_system(turns)
    for name in ("system", "system_prompt"):
        text = dict.get(row, name)  # not the row's own, which would count it as read
        if not turns or not isinstance(text, str) or not text.strip():
            continue
        if turns[0]["role"] != "system":
            turns = ({"role": "system", "content": row[name]}, *turns)
        elif turns[0]["content"].strip() == text.strip():
            row.get(name)
    return turns


def _without_empty_system(turns: tuple[Row, ...]) -> tuple[Row, ...]:
    return tuple(t for t in turns if t["role"] != "system" or t["content"].strip())


def _is_exchange(value: Any) -> bool:
    return isinstance(value, list) and [type(text) for text in value] == [str, str]


def read_question(turns: tuple[Row, ...]) -> tuple[Row, ...]:
    """The turns of a prompt; an empty system turn, which says nothing, is left out."""
    turns = _without_empty_system(turns)
    if not turns or turns[-1]["role"] != "user":
        raise Rejected("no_question", "the prompt does not end with a user's turn")
    return turns


def read_reply(value: Any, field: str) -> str:
    """The text of a reply: a text, or the one assistant's turn of a list."""
    if isinstance(value, str):
        return value
    turns = read_turns(value, field)
    if turns[-1]["role"] != "assistant":
        raise Rejected("no_answer", f"{field!r} does not end with an assistant's turn")
    if len(turns) != 1:
        raise Rejected("several_turns", "the answer is more than one assistant's turn")
    return str(turns[0]["content"])


def text_of(row: Row, names: Sequence[str]) -> str:
    """The first of these columns that is a text; "" where none is."""
    return next((row[name] for name in names if isinstance(row.get(name), str)), "")


def score_of(value: Any) -> float | None:
    """A finite number, also as a text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
