"""Rows of a data file that would train nothing, or cannot be told apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from codefavor.records import Row
from codefavor.text import control_token
from codefavor.training.check_readers import type_name
from codefavor.training.findings import Finding, Sample, error, number, of_rows, warning
from codefavor.training.recipes import method_of

# The names of one role that Axolotl's reader of conversations knows by itself.
_ALIASES = {"gpt": "assistant", "human": "user"}
# Beyond it one kind of label is hardly seen; the authors of KTO stay within 4 : 3.
_UNEQUAL = 8
# Readers that put the texts of a row into a chat template.
_TEMPLATED = ("chat_template", "codefavor.preferences", "bradley_terry.")


def row_findings(
    config: Mapping[str, Any], key: str, entry: Mapping[str, Any], sample: Sample
) -> Iterator[Finding]:
    """What is wrong with the first rows of a data set's file."""
    method = method_of(config)
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
    yield from _control_findings(key, entry, sample)
    if key == "datasets" and len(sample) > 1:
        yield from _label_findings(config, method, [row for _, row in sample])


def _label_findings(
    config: Mapping[str, Any], method: str, rows: Sequence[Row]
) -> Iterator[Finding]:
    """Labels of KTO or of steps that are all alike, or that outweigh those of the other kind."""
    if method == "process_reward":
        listed = [row["labels"] for row in rows if isinstance(row.get("labels"), list)]
        if len({str(label) for labels in listed for label in labels}) == 1:
            yield error(
                f"datasets: all steps of the first {len(rows)} rows have label "
                f"{str(listed[0][0]).lower()}: a model that always says so is right; add rows with "
                "steps of the other label"
            )
    labels = [row["label"] for row in rows if isinstance(row.get("label"), bool)]
    if method != "kto" or not labels:
        return
    if len(set(labels)) == 1:
        yield error(
            f"datasets: all of the first {len(rows)} rows have label {str(labels[0]).lower()}: KTO "
            "learns from what tells both apart; add answers of the other label"
        )
        return
    good, bad = labels.count(True), labels.count(False)
    keys = ("kto_desirable_weight", "kto_undesirable_weight")
    weights = [number(config, one) or 1.0 for one in keys]
    ratio = good * weights[0] / (bad * weights[1])
    if not 1 / _UNEQUAL <= ratio <= _UNEQUAL:
        rare = keys[1] if ratio > 1 else keys[0]
        weight = weights[1] * ratio if ratio > 1 else weights[0] / ratio
        yield warning(
            f"datasets: {good} rows have label true and {bad} false, which with the weights "
            f"{weights[0]:g} and {weights[1]:g} count {max(ratio, 1 / ratio):.0f} : 1: KTO's "
            f"authors keep both about equal; write {rare}: {weight:.3g}, or add rows"
        )


def _control_findings(key: str, entry: Mapping[str, Any], sample: Sample) -> Iterator[Finding]:
    """Special tokens of a chat template in texts, around which the template writes its own."""
    kind = type_name(entry)
    if entry.get("type") is not None and not kind.startswith(_TEMPLATED):
        return
    found = [(where, one) for where, row in sample if (one := control_token(row))]
    if found:
        what = f"hold {found[0][1]} or the like in a text"
        then = ": the template writes its own around every text; take them out"
        yield of_rows(key, [where for where, _ in found], sample, what, then, share=0.25)


def _bare(side: Any) -> Any:
    """An answer without blank lines and without the white space at the ends of its lines."""
    if isinstance(side, Mapping) and isinstance(side.get("content"), str):
        return {**side, "content": _bare(side["content"])}
    if not isinstance(side, str):
        return side
    lines = [line.rstrip() for line in side.strip().splitlines()]
    return "\n".join(line for line in lines if line)


def _turn_findings(key: str, entry: Mapping[str, Any], sample: Sample) -> Iterator[Finding]:
    """Conversations without the columns that are named, or without a turn to train on."""
    column = str(entry.get("field_messages") or "messages")
    mapped = entry.get("message_property_mappings") or {}
    mapping = {"role": "role", "content": "content", **mapped}
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
    own = {one: role for role, listed in (entry.get("roles") or {}).items() for one in listed or []}
    names = {**_ALIASES, **own}
    yield from _order_findings(key, names, mapping, column, sample)
    idle = [
        where for where, row in sample if not _has_turn(row.get(column), mapping, names, trained)
    ]
    if idle:
        what = f"have no turn of {', '.join(sorted(trained))} with a text"
        then = ": they train nothing; drop them, or look at the roles"
        yield of_rows(key, idle, sample, what, then)


def _order_findings(
    key: str,
    names: Mapping[str, str],
    mapping: Mapping[str, str],
    column: str,
    sample: Sample,
) -> Iterator[Finding]:
    """Conversations whose turns stand in an order in which nobody speaks, or hold no text."""
    found: dict[str, list[str]] = {}
    for where, row in sample:
        turns = [one for one in row.get(column) or [] if isinstance(one, Mapping)]
        said = [str(one.get(mapping["role"])) for one in turns]
        roles = [names.get(name, name) for name in said]
        says = [one.get(mapping["content"]) for one in turns]
        if "system" in roles[1:]:
            found.setdefault("a system's turn behind another", []).append(where)
        if [role for role in roles if role != "system"][:1] == ["assistant"]:
            found.setdefault("an answer before any question", []).append(where)
        if any(one and not isinstance(one, str) and not _are_parts(one) for one in says):
            found.setdefault("a turn whose content is neither a text nor parts", []).append(where)
    for what, places in found.items():
        yield of_rows(key, places, sample, f"have {what}", "; mend or drop them", share=0.5)


def _are_parts(says: Any) -> bool:
    return isinstance(says, list) and bool(says)


def _has_turn(
    turns: Any, mapping: Mapping[str, str], names: Mapping[str, str], trained: set[str]
) -> bool:
    """Whether a conversation has a turn of a trained role that says something."""
    if not isinstance(turns, list):
        return False
    for turn in turns:
        role = str(turn.get(mapping["role"])) if isinstance(turn, Mapping) else ""
        role = names.get(role, role)
        says = turn.get(mapping["content"]) if isinstance(turn, Mapping) else None
        is_text = bool(says.strip()) if isinstance(says, str) else _are_parts(says)
        if role in trained and (is_text or turn.get("tool_calls")):
            return True
    return False
