"""The forms in which others publish preference data: what tells each, and how its rows are read.

Sources of the columns: TRL's data set formats (preference, implicit prompt, unpaired preference),
LLaMA-Factory's and ShareGPT's, and the cards of the sets that the forms are named after.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from codefavor.errors import DataError, Rejected
from codefavor.pairs.published_scores import given_scores
from codefavor.pairs.published_turns import (
    decoded,
    objects_in,
    read_dialogue,
    read_prompt,
    read_question,
    read_reply,
    read_turns,
    score_of,
    shown,
    text_of,
    turns_before,
    with_system,
)
from codefavor.pairs.watched_row import WatchedRow
from codefavor.records import Preference, Row

OWN_FORM, LABELLED_FORM = "codefavor", "labelled answers (KTO)"
# Other names of the two answers; rows with them are read as if they said "chosen" and "rejected".
_OTHER_NAMES = (
    ("accepted", "rejected"),
    ("chosen_response", "rejected_response"),
    ("response_j", "response_k"),
)
# The beginning of both answers, where each goes on from it (Math-Step-DPO).
_BEGUN = "initial_reason_steps"
_V1 = ("chosen_messages", "rejected_messages")
_OWN_FIELDS = {one.name for one in dataclasses.fields(Preference)}
_ONLY_OWN = {"problem_id", "evidence", "meta"}


class Answer(NamedTuple):
    """One reply to a prompt, with what the data set says of it: a score, higher is better."""

    prompt: tuple[Row, ...]
    reply: str
    score: float


class Side(NamedTuple):
    """A pair as a data set states it, with the scores of both sides where it has them."""

    prompt: tuple[Row, ...]
    chosen: str
    rejected: str
    scores: tuple[float, float] | None = None


@dataclass(frozen=True)
class Shape:
    """One way in which rows are published: the columns that tell it, and how a row is read.

    In some a language is what the question is about, and the answers are replies all the same.
    """

    name: str
    columns: tuple[str, ...]
    read: Callable[[WatchedRow], Iterable[Side | Answer]]
    are_replies: bool = False


def known_form(row: Mapping[str, Any], where: str = "row") -> tuple[Shape, WatchedRow]:
    """The first known form whose columns a row has, and the row as that form reads it.

    Raises DataError where there is none.
    """
    try:
        row = {name: decoded(value, name) for name, value in row.items()}
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error
    watched = WatchedRow(row, _renamed(row))
    return _shape_of(dict(watched), where), watched  # looking at a column does not read it


def read_form(shape: Shape, row: WatchedRow, where: str) -> list[Side | Answer]:
    """What a row says; raises Rejected where that is no pair, DataError where it is unreadable."""
    if any(row[name] is None for name in shape.columns):
        raise Rejected("null_column", where)
    try:
        return list(shape.read(row))
    except ValueError as error:
        text = str(error)
        for new, old in row.renamed.items():
            text = text.replace(repr(new), repr(old))
        raise DataError(f"{where}: {text}; read as {shape.name}") from error


def _renamed(row: Mapping[str, Any]) -> dict[str, str]:
    for names in _OTHER_NAMES:
        if "chosen" not in row and set(names).issubset(row):
            both = zip(("chosen", "rejected"), names, strict=True)
            return {new: old for new, old in both if new != old}
    return {}


def _shape_of(row: Mapping[str, Any], where: str) -> Shape:
    given = {name for name, value in row.items() if value is not None}
    for names in (given, set(row)):
        for shape in SHAPES:
            if names.issuperset(shape.columns) and (shape is not OURS or _is_ours(row)):
                return shape
    if given.issuperset(("prompt", "completions", "labels")):
        raise DataError(
            f"{where}: steps with a label each (as PRM800K's) are no pairs: recipes of the method "
            "`process` train on such rows as they are"
        )
    nearest = min(SHAPES, key=lambda shape: len(set(shape.columns) - given))
    missing = " and ".join(repr(name) for name in nearest.columns if name not in given)
    known = "; ".join(", ".join(shape.columns) for shape in SHAPES)
    raise DataError(
        f"{where}: no known form of preference data has the columns "
        f"{', '.join(sorted(given)) or '(none)'}; nearest is {nearest.name}, without {missing} "
        f"(known: {known})"
    )


def _is_ours(row: Mapping[str, Any]) -> bool:
    """Whether a row with our columns is ours: others number rows that have an instruction too.

    Ours names the language of its programs, so that a fence where none is named tells replies.
    """
    if not isinstance(row["id"], str | None):
        return False
    if not all(isinstance(row[side], str | None) for side in ("chosen", "rejected")):
        return False
    has_fence = any("```" in str(row[side]) for side in ("chosen", "rejected"))
    is_plain = _OWN_FIELDS.issuperset(row) and ("language" in row or not has_fence)
    return is_plain or _ONLY_OWN.issubset(row)


def _conversations(
    row: WatchedRow, sides: tuple[str, str] = ("chosen", "rejected")
) -> Iterable[Side]:
    """Both sides are whole conversations, behind the system turn of a column."""
    side = _whole_sides(row, sides)
    yield side._replace(prompt=with_system(row, side.prompt))


def _whole_sides(row: WatchedRow, sides: tuple[str, str] = ("chosen", "rejected")) -> Side:
    """Both sides are whole conversations that differ in their last turn alone."""
    chosen, rejected = (read_turns(row[side], side) for side in sides)
    for name, side, turns in zip(("chosen", "rejected"), sides, (chosen, rejected), strict=True):
        if turns and turns[-1]["role"] == "user" and str(row[side]).rstrip().endswith("Assistant:"):
            raise Rejected(f"empty_{name}", "the mark of the answer is all there is of it")
    if len(chosen) < 2:
        raise Rejected("no_prompt", "two answers without a prompt")
    if chosen[:-1] != rejected[:-1]:
        raise Rejected("prompts_differ", "the sides differ before their last turn")
    good, bad = (read_reply(list(turns[-1:]), sides[0]) for turns in (chosen, rejected))
    return Side(read_question(chosen[:-1]), good, bad, given_scores(row))


def _prompted(column: str) -> Callable[[WatchedRow], Iterable[Side]]:
    """Rows whose prompt stands in `column`, as a text or as messages; sides may repeat it."""

    def read(row: WatchedRow) -> Iterable[Side]:
        chosen = row["chosen"]
        is_whole = (
            bool(read_dialogue(chosen))
            if isinstance(chosen, str)
            else len(read_turns(chosen, "chosen")) > 1
        )
        if not is_whole:
            question = read_prompt(row, column)
            begun = text_of(row, (_BEGUN,))
            good, bad = (begun + read_reply(row[side], side) for side in ("chosen", "rejected"))
            yield Side(question, good, bad, given_scores(row))
            return
        sides = _whole_sides(row)
        turns = read_turns(row[column], column)
        # The column may repeat the better conversation with its answer.
        is_answered = bool(turns) and turns[-1] == {"role": "assistant", "content": sides.chosen}
        question = read_question(turns_before(row, column, turns[:-1] if is_answered else turns))
        # Of several turns the column may hold the first question alone.
        if question[-1] not in sides.prompt:
            raise Rejected("prompts_differ", f"{column} is not in the conversations")
        longer = max(sides.prompt, question, key=len)
        if question[0]["role"] == "system" and longer[0]["role"] != "system":
            longer = (question[0], *longer)
        yield sides._replace(prompt=with_system(row, longer))

    return read


def _labelled_rows(row: WatchedRow) -> Iterable[Answer]:
    reply = read_reply(row["completion"], "completion")
    yield Answer(read_prompt(row, "prompt"), reply, _label(row))


def _labelled_conversation(row: WatchedRow) -> Iterable[Answer]:
    *before, last = read_turns(row["messages"], "messages")
    if last["role"] != "assistant":
        raise Rejected("no_answer", "the conversation does not end with an assistant's turn")
    yield Answer(read_prompt(row, "messages", tuple(before)), last["content"], _label(row))


def _label(row: WatchedRow) -> float:
    label = row["label"]
    words = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0, "-1": 0.0}
    worth = words.get(str(label).strip().lower().removesuffix(".0"))
    if worth is None:
        raise ValueError(f"'label' is {shown(label)}, not true or false (nor 1, and 0 or -1)")
    return worth


def _graded(value: Any) -> float:
    """A preference from -3 (the first answer is much better) to 3 (the second is)."""
    score = score_of(value)
    if score is None or abs(score) > 3:
        raise ValueError(f"is {shown(value)}, not -3 to 3")
    return score


def _named(first: Any, second: Any, *ties: Any) -> Callable[[Any], float]:
    """A verdict in the words (or numbers) of a data set."""
    worth = [(first, -1.0), (second, 1.0), *((one, 0.0) for one in ties)]

    def read(value: Any) -> float:
        for word, score in worth:
            if value == word and not isinstance(value, bool):
                return score
        known = ", ".join(repr(word) for word, _ in worth)
        raise ValueError(f"is {shown(value)}, not one of {known}")

    return read


def _judged(
    name: str,
    prompt: str,
    sides: tuple[str, str],
    verdict: str,
    read: Callable[[Any], float],
    *,
    scores: tuple[str, str] = ("", ""),
) -> Shape:
    """Two answers and which is better: below 0 the first, above 0 the second, 0 is a tie.

    Without a column for the prompt the answers are whole conversations. `scores` are columns that
    some sets have beside the verdict, which must not say the opposite.
    """

    def read_row(row: WatchedRow) -> Iterable[Side]:
        try:
            preference = read(row[verdict])
        except ValueError as error:
            raise ValueError(f"{verdict!r} {error}") from error
        if preference == 0:
            raise Rejected("equal_scores", "no preference")
        first, second = (score_of(row.get(one)) for one in scores)
        if first is not None and second is not None and (second - first) * preference < 0:
            raise Rejected("scores_contradict", str(scores))
        good, bad = sides if preference < 0 else sides[::-1]
        if not prompt:
            yield from _conversations(row, (good, bad))
            return
        question = read_prompt(row, prompt)
        yield Side(question, read_reply(row[good], good), read_reply(row[bad], bad))

    columns = (*([prompt] if prompt else []), *sides, verdict)
    return Shape(name, columns, read_row, are_replies=True)


def _listed(
    name: str, columns: tuple[str, str, str], scores: Sequence[str], sign: float = 1.0
) -> Shape:
    """Rows with a list of scored answers; the first of `scores` that all answers have counts.

    Where none has all, the one that most have: the others are left out, as without a score.
    """
    prompt, answers, reply = columns

    def read(row: WatchedRow) -> Iterable[Answer]:
        question = read_prompt(row, prompt)
        found = objects_in(row[answers], answers, "a list of answers")
        if not found:
            raise Rejected("no_answers", f"{answers} is empty")
        given = {one: [score_of(answer.get(one)) for answer in found] for one in scores}
        field_name = min(scores, key=lambda one: given[one].count(None))  # of equals the first
        if given[field_name].count(None) == len(found):
            raise Rejected("no_score", f"no answer has one of {', '.join(scores)}")
        for answer, value in zip(found, given[field_name], strict=True):
            if value is not None:
                text = read_reply(answer.get(reply), f"{answers}.{reply}")
                yield Answer(question, text, sign * value)
        inside = {key: 0 for answer in found for key in answer if key not in (reply, field_name)}
        row.not_read_inside = [f"{answers}.{key}" for key in inside]
        if None in given[field_name]:
            row.not_read_inside.append(f"{answers} without a {field_name}")

    return Shape(name, (prompt, answers), read, are_replies=True)


def _rated(row: WatchedRow) -> Iterable[Answer]:
    score = score_of(row["helpfulness"])
    if score is None:
        raise Rejected("no_score")
    yield Answer(read_prompt(row, "prompt"), read_reply(row["response"], "response"), score)


OURS = Shape(OWN_FORM, ("id", "instruction", "chosen", "rejected"), lambda row: ())

SHAPES: tuple[Shape, ...] = (
    OURS,
    # `prompt` first: binarised UltraFeedback has a whole conversation under `messages` too.
    *(
        Shape(f"{column} with two answers", (column, "chosen", "rejected"), _prompted(column))
        for column in (
            "prompt", "messages", "conversations", "trajectory", "instruction", "question", "input",
        )
    ),
    Shape("two conversations", ("chosen", "rejected"), _conversations),
    Shape("two conversations (LLaMA-Factory v1)", _V1, lambda row: _conversations(row, _V1)),
    Shape(LABELLED_FORM, ("prompt", "completion", "label"), _labelled_rows),
    Shape(LABELLED_FORM, ("messages", "label"), _labelled_conversation),
    _judged(
        "two judged responses (HelpSteer3)",
        "context", ("response1", "response2"), "overall_preference", _graded,
    ),
    _judged(
        "two judged responses (HelpSteer2)",
        "prompt", ("response_1", "response_2"), "preference_strength", _graded,
    ),
    _judged(
        "two judged responses (PKU-SafeRLHF)",
        "prompt", ("response_0", "response_1"), "better_response_id", _named(0, 1),
    ),
    _judged(
        "two comments (SHP)",
        "history", ("human_ref_A", "human_ref_B"), "labels", _named(1, 0),
        scores=("score_A", "score_B"),
    ),
    _judged(
        "two conversations of an arena",
        "", ("conversation_a", "conversation_b"), "winner",
        _named("model_a", "model_b", "tie", "tie (bothbad)"),
    ),
    Shape("rated responses (HelpSteer)", ("prompt", "response", "helpfulness"), _rated),
    _listed(
        "scored completions (UltraFeedback)",
        ("instruction", "completions", "response"),
        ("fine-grained_score", "overall_score"),
    ),
    _listed("ranked answers (Nectar)", ("prompt", "answers", "answer"), ("rank",), -1.0),
    _listed("voted answers (Stack Exchange)", ("question", "answers", "text"), ("pm_score",)),
    _listed(
        "sampled programs with pass rates (AceCode)",
        ("question", "inferences", "completion"),
        ("pass_rate",),
    ),
)  # fmt: skip


def provenance(row: WatchedRow) -> tuple[str, str, str, str]:
    """The source, criteria, language and licence that a row names, "" where it names none."""
    return (
        text_of(row, ("source", "dataset", "subset")),
        text_of(row, ("criteria", "aspect")),
        text_of(row, ("language",)),
        text_of(row, ("license",)),
    )
