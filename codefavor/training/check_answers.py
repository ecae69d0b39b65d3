"""Rows whose question, answers or labels the method cannot learn from, or that contradict."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from codefavor.records import Row, canonical_json
from codefavor.training.check_evidence import evidence_findings, letter_word_findings
from codefavor.training.check_readers import SAMPLING_METHODS, type_name
from codefavor.training.findings import (
    ANSWERS_AS,
    QUESTION_COLUMNS,
    Finding,
    Sample,
    at,
    error,
    of_rows,
)

_PAIRED = ("chosen", "rejected")
# The columns that hold answers.
_ANSWERS: dict[str, tuple[str, ...]] = {
    "dpo": _PAIRED,
    "ipo": _PAIRED,
    "simpo": _PAIRED,
    "orpo": _PAIRED,
    "reward": _PAIRED,
    "kto": ("completion",),
    "process_reward": ("completions",),
}
_LETTERS = {"A", "B"}
# So many answers of one letter are no accident of the order.
_N_LETTERS = 8
_READS_TESTS = ("passes_tests", "fraction_passed")


def answer_findings(
    config: Mapping[str, Any], method: str, key: str, entry: Mapping[str, Any], sample: Sample
) -> Iterator[Finding]:
    """What is wrong with the questions and answers of the first rows of a data set's file."""
    if type_name(entry) == "user_defined":
        return  # its columns have names of its own
    yield from evidence_findings(method, key, entry, sample)
    if method == "sft":
        yield from _letter_findings(config, key, entry, sample)
        return
    where: dict[str, list[str]] = {}
    for place, row in sample:
        for problem in dict.fromkeys(_problems(config, method, entry, row, sample[0][1])):
            where.setdefault(problem, []).append(place)
    for problem, places in where.items():
        then = ": they train nothing, or end the training; mend or drop them"
        yield of_rows(key, places, sample, f"have {problem}", then)
    if not where and method in _ANSWERS:
        yield from _contradictions(method, key, entry, sample)


def _problems(
    config: Mapping[str, Any], method: str, entry: Mapping[str, Any], row: Row, first: Row
) -> Iterator[str]:
    for column in _ANSWERS.get(method, ()):
        name = str(entry.get(f"field_{column}") or column)
        if name not in first:
            continue  # told already
        value = row.get(name)
        if not _says(value):
            yield f"{name} without a text"
        elif first[name] is not None and type(value) is not type(first[name]):
            yield f"{name} of another type than in the first row"
        elif (role := _role(value)) and role not in ANSWERS_AS and _has_usual_roles(entry):
            yield f"{name} of the role {role!r}"
    yield from _question_problems(entry, row, first)
    if method == "kto" and "label" in first and not isinstance(row.get("label"), bool):
        yield "a label that is neither true nor false"
    steps, labels = row.get("completions"), row.get("labels")
    if method == "process_reward" and isinstance(steps, list) and "labels" in first:
        is_whole = isinstance(labels, list) and len(labels) == len(steps)
        if not is_whole or not all(isinstance(one, bool) for one in labels or []):
            yield "labels that are not one true or false a step"
    rewards = [str(one) for one in at(config, "trl.reward_funcs") or []]
    needs_tests = any("codefavor." in one and one.endswith(_READS_TESTS) for one in rewards)
    if method in SAMPLING_METHODS and needs_tests and "tests" in first:
        tests = row.get("tests")
        if not (isinstance(tests, str) and tests.strip()):
            yield "no tests, which the reward runs"


def _question_problems(entry: Mapping[str, Any], row: Row, first: Row) -> Iterator[str]:
    name = next((one for one in QUESTION_COLUMNS if one in first), None)
    if name is None or entry.get("field_messages"):
        return
    value = row.get(name)
    if not _says(value):
        yield f"{name} without a question"
    elif isinstance(value, list) and _has_usual_roles(entry) and _role(value) in ANSWERS_AS:
        yield f"{name} that end with an assistant's turn"


def _says(value: Any) -> bool:
    """Whether a text, a turn, the last turn of a list or every step of a list has words."""
    if isinstance(value, str):
        return bool(value.strip())
    if isinstance(value, Mapping):
        content = next((value[one] for one in ("content", "value") if one in value), None)
        return _says(content) if isinstance(content, str) else bool(content or _calls(value))
    if isinstance(value, list) and value:
        return all(map(_says, value)) if isinstance(value[0], str) else _says(value[-1])
    return False


def _calls(turn: Mapping[str, Any]) -> bool:
    return bool(turn.get("tool_calls")) or not {"content", "value"} & set(turn)


def _role(value: Any) -> str:
    """The role of a turn, or of the last turn of a list; "" for texts."""
    turn = value[-1] if isinstance(value, list) and value else value
    if not isinstance(turn, Mapping):
        return ""
    return str(turn.get("role") or turn.get("from") or "")


def _has_usual_roles(entry: Mapping[str, Any]) -> bool:
    return not any(
        entry.get(one) for one in ("roles", "message_property_mappings", "message_field_role")
    )


def _contradictions(
    method: str, key: str, entry: Mapping[str, Any], sample: Sample
) -> Iterator[Finding]:
    """Pairs that stand the other way round as well, and answers with both labels."""
    names = [str(entry.get(f"field_{one}") or one) for one in _ANSWERS[method]]
    if method == "process_reward":
        return
    seen: set[str] = set()
    turned = []
    for place, row in sample:
        question = [row.get(one) for one in ("system", *QUESTION_COLUMNS)]
        sides = [row.get(name) for name in names]
        other = sides[::-1]
        if method == "kto":
            sides, other = [*sides, row.get("label")], [*sides, not row.get("label")]
        if canonical_json([question, other]) in seen:
            turned.append(place)
        seen.add(canonical_json([question, sides]))
    if turned:
        what = "the other label" if method == "kto" else "chosen and rejected exchanged"
        yield _taken_back(key, turned, sample, what)


def _taken_back(key: str, places: Sequence[str], sample: Sample, what: str) -> Finding:
    then = ": what one teaches the other takes back; drop them"
    return of_rows(key, places, sample, f"stand there with {what} as well", then, share=0.25)


def _letter_findings(
    config: Mapping[str, Any], key: str, entry: Mapping[str, Any], sample: Sample
) -> Iterator[Finding]:
    """Rows of an A/B judge that always answer alike, contradict each other, answer with other
    labels than are asked for, or train the question beside the letter.
    """
    turns = [row.get(str(entry.get("field_messages") or "messages")) for _, row in sample]
    talks = [
        [str(turn.get("content", turn.get("value"))) for turn in one]
        for one in turns
        if isinstance(one, list) and one and all(isinstance(turn, Mapping) for turn in one)
    ]
    answers = [talk[-1].strip() for talk in talks]
    if len(answers) < len(sample):
        return
    if not set(answers) <= _LETTERS:
        yield from _label_findings(config, key, talks, sample[0][0])
        yield from letter_word_findings(config, key, talks, [place for place, _ in sample])
        return
    if key == "datasets" and len(answers) >= _N_LETTERS and len(set(answers)) == 1:
        yield error(
            f"{key}: all of the first {len(answers)} answers are {answers[0]}, so that the letter "
            "is learnt whatever stands there; write both orders (codefavor convert)"
        )
    said = {canonical_json([talk[:-1], talk[-1].strip()]) for talk in talks}
    both = [
        place
        for (place, _), talk in zip(sample, talks, strict=True)
        if all(canonical_json([talk[:-1], letter]) in said for letter in _LETTERS)
    ]
    if both:
        yield _taken_back(key, both, sample, "the other letter")
    if n_alike := _n_of_one_letter(talks):
        yield error(
            f"{key}: {n_alike} pairs of programs stand there in both orders and have the same "
            "letter in both: the place is learnt, not the program; write the other letter in one"
        )
    roles = {str(one) for one in entry.get("roles_to_train") or []}
    if config.get("train_on_inputs") or roles - ANSWERS_AS:
        setting = "train_on_inputs: true" if config.get("train_on_inputs") else "roles_to_train"
        yield error(
            f"{key}: {setting} trains the questions too, of which the letter of a judge is one "
            "token among hundreds; write roles_to_train: [assistant], and no train_on_inputs"
        )


def _n_of_one_letter(talks: Sequence[Sequence[str]]) -> int:
    """Pairs whose two orders have one letter; 0 where most pairs have both letters.

    Exchanged programs leave the words of a question as they are, in another order. Two programs
    of the same words can look like that by accident, most of a file cannot.
    """
    letters: dict[str, dict[str, str]] = {}
    for talk in talks:
        question = "\n".join(talk[:-1])
        words = canonical_json(sorted(question.split()))
        letters.setdefault(words, {})[question] = talk[-1].strip()
    orders = [list(one.values()) for one in letters.values() if len(one) > 1]
    n_alike = sum(len(set(one)) == 1 for one in orders)
    return n_alike if 2 * n_alike > len(orders) else 0


def _label_findings(
    config: Mapping[str, Any], key: str, talks: Sequence[Sequence[str]], first: str
) -> Iterator[Finding]:
    """Answers that are labels, and not the two letters that the question asks for."""
    answers = {talk[-1].strip() for talk in talks}
    is_label = len(answers) <= len(_LETTERS) and all(len(one) == 1 for one in answers)
    asks = at(config, "dev_accuracy.judge") == "pairwise" or all(
        re.search(r"\bA\b.*\bB\b", " ".join(talk[:-1]), re.DOTALL) for talk in talks
    )
    if is_label and asks:
        yield error(
            f"{key}: the answers are {' and '.join(sorted(answers))}, first {first}, and the "
            "question (and the judge that is made of it) has A and B; write these letters"
        )


def system_findings(config: Mapping[str, Any], sample: Sample) -> Iterator[Finding]:
    """Dev pairs that are asked with another system turn than the rows have."""
    dev = config.get("dev_accuracy")
    if not dev:
        return
    asked = dev.get("system", "empty")
    found = set()
    for _, row in sample:
        turns = row.get("messages", row.get("prompt"))
        first = turns[0] if isinstance(turns, list) and turns else None
        if isinstance(first, Mapping) and not (
            first.get("role") == "system" and first.get("content")
        ):
            found.add("empty" if first.get("role") == "system" else "none")
    if found and asked not in found:
        [has] = found
        yield error(
            f"dev_accuracy.system: {asked}, and the rows of {sample[0][0].rpartition(':')[0]} have "
            f"{'no system turn' if has == 'none' else 'an empty one'}: the dev pairs would be "
            f"asked in another form; write system: {has}"
        )
