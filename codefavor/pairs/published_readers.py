"""How rows of preference data that others published are read: one function a form of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from codefavor.errors import Rejected
from codefavor.pairs.published_scores import given_scores
from codefavor.pairs.published_turns import (
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
from codefavor.records import Row

# The beginning of both answers, where each goes on from it (Math-Step-DPO).
_BEGUN = "initial_reason_steps"


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
    `counted` is a column whose 1 and 2 are the answers and 0 a tie: others count answers from 0.
    """

    name: str
    columns: tuple[str, ...]
    read: Callable[[WatchedRow], Iterable[Side | Answer]]
    are_replies: bool = False
    counted: str = ""


def conversations(
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


def prompted(column: str) -> Callable[[WatchedRow], Iterable[Side | Answer]]:
    """Rows whose prompt stands in `column`, as a text or as messages; sides may repeat it."""

    def read(row: WatchedRow) -> Iterable[Side | Answer]:
        chosen, rejected = row["chosen"], row["rejected"]
        if any(
            isinstance(one, list) and isinstance((*one, 0)[0], str) for one in (chosen, rejected)
        ):
            # Several answers of each kind (RewardBench 2).
            for score, side, texts in ((1.0, "chosen", chosen), (0.0, "rejected", rejected)):
                for text in texts if isinstance(texts, list) else [texts]:
                    yield Answer(read_prompt(row, column), read_reply(text, side), score)
            return
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


def labelled_rows(row: WatchedRow) -> Iterable[Answer]:
    reply = read_reply(row["completion"], "completion")
    yield Answer(read_prompt(row, "prompt"), reply, _label(row))


def labelled_conversation(row: WatchedRow) -> Iterable[Answer]:
    *before, last = read_turns(row["messages"], "messages")
    if last["role"] != "assistant":
        raise Rejected("no_answer", "the conversation does not end with an assistant's turn")
    yield Answer(read_prompt(row, "messages", tuple(before)), last["content"], _label(row))


def _label(row: WatchedRow) -> float:
    words = {"-1": False, "desirable": True, "undesirable": False}
    return float(truth_of(row, "label", words, "true or false (nor 1, and 0 or -1)"))


def truth_of(
    row: Row, column: str, words: Mapping[str, bool] | None = None, what: str = "1 or 0"
) -> bool:
    """A yes or no, as a truth value, a number or a text; raises ValueError for anything else."""
    known = {"true": True, "false": False, "1": True, "0": False, **(words or {})}
    found = known.get(str(row[column]).strip().lower().removesuffix(".0"))
    if found is None:
        raise ValueError(f"{column!r} is {shown(row[column])}, not {what}")
    return found


def graded(value: Any) -> float:
    """A preference from -3 (the first answer is much better) to 3 (the second is)."""
    score = score_of(value)
    if score is None or abs(score) > 3:
        raise ValueError(f"is {shown(value)}, not -3 to 3")
    return score


def named(first: Any, second: Any, *ties: Any) -> Callable[[Any], float]:
    """A verdict in the words (or numbers) of a data set."""
    worth = [(first, -1.0), (second, 1.0), *((one, 0.0) for one in ties)]

    def read(value: Any) -> float:
        for word, score in worth:
            if str(value).removesuffix(".0") == str(word):  # a truth value is neither 1 nor 0
                return score
        known = ", ".join(repr(word) for word, _ in worth)
        raise ValueError(f"is {shown(value)}, not one of {known}")

    return read


def judged(
    name: str,
    prompt: str,
    sides: tuple[str, str],
    verdict: str,
    read: Callable[[Any], float],
    *,
    scores: tuple[str, str] = ("", ""),
    is_counted: bool = False,
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
            yield from conversations(row, (good, bad))
            return
        question = read_prompt(row, prompt)
        yield Side(question, read_reply(row[good], good), read_reply(row[bad], bad))

    columns = (*([prompt] if prompt else []), *sides, verdict)
    counted = verdict if is_counted else ""
    return Shape(name, columns, read_row, are_replies=True, counted=counted)


def listed(
    name: str,
    columns: tuple[str, str, str],
    scores: Sequence[str],
    sign: float = 1.0,
    *,
    beside: str = "",
) -> Shape:
    """Rows with a list of scored answers; the first of `scores` that all answers have counts.

    Where none has all, the one that most have: the others are left out, as without a score.
    `beside`: a second list of as many scores in the same order, or of objects that have them and
    name the model of their answer.
    """
    prompt, answers, reply = columns

    def read(row: WatchedRow) -> Iterable[Answer]:
        question = read_prompt(row, prompt)
        given_answers = row[answers]
        if beside and not isinstance(row[beside], list):
            raise ValueError(f"{beside!r} is {shown(row[beside])}; expected a list of scores")
        if beside and isinstance(given_answers, list):
            beside_each = _beside(given_answers, row[beside], (answers, beside))
            given_answers = [
                {**_object(one, reply), **_object(other, scores[0])}
                for one, other in zip(given_answers, beside_each, strict=True)
            ]
        found = objects_in(given_answers, answers, "a list of answers")
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

    columns_of = (prompt, answers, *([beside] if beside else []))
    return Shape(name, columns_of, read, are_replies=True)


def _object(value: Any, key: str) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {key: value}


def _beside(answers: Sequence[Any], others: Sequence[Any], names: tuple[str, str]) -> Sequence[Any]:
    """What stands beside each answer: objects by the model they name, bare values by their place.

    The order of objects says nothing: that of CodeUltraFeedback's annotations is another one.
    """
    if len(answers) != len(others):
        raise Rejected("lists_differ", f"{' and '.join(names)} are of different lengths")
    if not any(isinstance(one, Mapping) for one in others):
        return others
    models, of_others = (
        [one.get("model") if isinstance(one, Mapping) else None for one in listed]
        for listed in (answers, others)
    )
    by_model = {str(model): one for model, one in zip(of_others, others, strict=True)}
    if None in models or None in of_others or len(by_model) != len(others):
        raise Rejected("models_differ", f"{' and '.join(names)} do not name each model once")
    if {str(model) for model in models} != set(by_model):
        raise Rejected("models_differ", f"{' and '.join(names)} name different models")
    return [by_model[str(model)] for model in models]


def rated(name: str, column: str) -> Shape:
    def read(row: WatchedRow) -> Iterable[Answer]:
        score = score_of(row[column])
        if score is None:
            raise Rejected("no_score")
        yield Answer(read_prompt(row, "prompt"), read_reply(row["response"], "response"), score)

    return Shape(name, ("prompt", "response", column), read)
