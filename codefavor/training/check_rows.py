"""Rows of a data file that would train nothing, or cannot be told apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from codefavor.records import Row
from codefavor.training.check_readers import type_name
from codefavor.training.findings import Finding, error, warning

# The names of one role that Axolotl's reader of conversations knows by itself.
_ALIASES = {"gpt": "assistant", "human": "user"}


def row_findings(
    method: str, key: str, entry: Mapping[str, Any], sample: Sequence[tuple[str, Row]]
) -> Iterator[Finding]:
    """What is wrong with the first rows of a data set's file."""
    if method == "sft" and type_name(entry).startswith("chat_template"):
        yield from _turn_findings(key, entry, sample)
    equal = [
        where
        for where, row in sample
        if "chosen" in row
        and row["chosen"] is not None
        and _bare(row["chosen"]) == _bare(row.get("rejected"))
    ]
    if equal:
        text = f"{key}: chosen and rejected are equal in {len(equal)} of {len(sample)} rows"
        more = f"{text}, first {equal[0]}: they teach nothing; drop them"
        yield error(more) if 2 * len(equal) >= len(sample) else warning(more)
    labels = {row["label"] for _, row in sample if isinstance(row.get("label"), bool)}
    if method == "kto" and key == "datasets" and len(labels) == 1 and len(sample) > 1:
        [label] = labels
        yield error(
            f"{key}: all of the first {len(sample)} rows have label {str(label).lower()}: KTO "
            "learns from what tells both apart; add answers of the other label"
        )


def _bare(side: Any) -> Any:
    """An answer without the white space around its text."""
    if isinstance(side, Mapping) and isinstance(side.get("content"), str):
        return {**side, "content": side["content"].strip()}
    return side.strip() if isinstance(side, str) else side


def _turn_findings(
    key: str, entry: Mapping[str, Any], sample: Sequence[tuple[str, Row]]
) -> Iterator[Finding]:
    """Conversations without the columns that are named, or without a turn to train on."""
    column = str(entry.get("field_messages") or "messages")
    mapping = {
        "role": "role",
        "content": "content",
        **(entry.get("message_property_mappings") or {}),
    }
    for old in ("role", "content"):
        mapping[old] = str(entry.get(f"message_field_{old}") or mapping[old])
    where, first = sample[0]
    turns = first.get(column)
    if not isinstance(turns, list):
        return  # its columns are told already
    turn = turns[0] if turns and isinstance(turns[0], Mapping) else {}
    absent = [(name, field) for name, field in mapping.items() if turn and field not in turn]
    for name, field in absent:
        yield error(
            f"{key}: message_property_mappings.{name}: {field!r} is no key of the turns of "
            f"{where.rpartition(':')[0]}, which have {', '.join(turn)}"
        )
    if absent:
        return
    roles = entry.get("roles_to_train") or ["assistant"]
    trained = {_ALIASES.get(role, role) for role in roles}
    idle = [
        where for where, row in sample if not _has_turn(row.get(column), mapping, entry, trained)
    ]
    if idle:
        missing = f"no turn of {', '.join(sorted(trained))}"
        yield error(
            f"{key}: {len(idle)} of {len(sample)} rows have {missing} "
            f"with a text, first {idle[0]}: they train nothing; drop them, or look at the roles"
        )


def _has_turn(
    turns: Any, mapping: Mapping[str, str], entry: Mapping[str, Any], trained: set[str]
) -> bool:
    """Whether a conversation has a turn of a trained role that says something."""
    if not isinstance(turns, list):
        return False
    own = entry.get("roles") or {}
    names = {source: target for target, sources in own.items() for source in sources or []}
    for turn in turns:
        role = str(turn.get(mapping["role"])) if isinstance(turn, Mapping) else ""
        role = names.get(role, _ALIASES.get(role, role))
        says = turn.get(mapping["content"]) if isinstance(turn, Mapping) else None
        is_text = bool(says.strip()) if isinstance(says, str) else bool(says)
        if role in trained and (is_text or turn.get("tool_calls")):
            return True
    return False
