"""Rows whose question, answers or labels the method cannot learn from, or that contradict."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from codefavor.records import Row, canonical_json
from codefavor.training.check_evidence import (
    LETTERS,
    evidence_findings,
    exchanged_findings,
    letter_word_findings,
    reasons_letter,
    verdict_findings,
)
from codefavor.training.check_readers import SAMPLING_METHODS, type_name
from codefavor.training.findings import (
    ANSWERS_AS,
    QUESTION_COLUMNS,
    Finding,
    Sample,
    at,
    error,
    number,
    of_rows,
)
from codefavor.training.recipes import method_of

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
# So many answers of one letter are no accident of the order.
_N_LETTERS = 8
_PROGRAMS = re.compile(r"(.*?\bProgram A:\n)(.*?)\n\nProgram B:\n(.*)", re.DOTALL)
# What our question has behind its second program.
_ASKED = re.compile(r"\s*(Criteria: |Answer with one letter|First compare|\Z)")
# A share of rows that no accident explains.
_MANY = 0.05
_READS_TESTS = ("passes_tests", "fraction_passed")


def answer_findings(
    config: Mapping[str, Any], wanted: str, key: str, entry: Mapping[str, Any], sample: Sample
) -> Iterator[Finding]:
    """What is wrong with the questions and answers of the first rows of a data set's file.

    `wanted` is the format of a judge's rows that the recipe is for, "" where none is known.
    """
    method = method_of(config)
    if type_name(entry) == "user_defined":
        return  # its columns have names of its own
    yield from evidence_findings(method, key, entry, sample)
    if method == "sft":
        yield from _judge_findings(config, wanted, key, entry, sample)
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


def _taken_back(key: str, places: Sequence[str], sample: Sequence[object], what: str) -> Finding:
    then = ": what one teaches the other takes back; drop them"
    return of_rows(key, places, sample, f"stand there with {what} as well", then, share=0.25)


def _judge_findings(
    config: Mapping[str, Any], wanted: str, key: str, entry: Mapping[str, Any], sample: Sample
) -> Iterator[Finding]:
    """Rows of a judge, whose answers are the letters A and B or reasons that end with one."""
    turns = [row.get(str(entry.get("field_messages") or "messages")) for _, row in sample]
    talks = [
        [str(turn.get("content", turn.get("value"))) for turn in one]
        for one in turns
        if isinstance(one, list) and one and all(isinstance(turn, Mapping) for turn in one)
    ]
    if len(talks) < len(sample):
        return
    places, answers = [place for place, _ in sample], {talk[-1].strip() for talk in talks}
    if same := [place for place, talk in zip(places, talks, strict=True) if _is_twice(talk)]:
        then = ": no letter is right; drop them"
        yield of_rows(key, same, talks, "compare a program with itself", then, share=_MANY)
    if exchanged := list(exchanged_findings(wanted, key, talks, places)):
        yield from exchanged
    elif all(map(reasons_letter, talks)):
        wrong, letters = verdict_findings(key, talks, places)
        yield from wrong
        yield from _measure_findings(config)
        if set(letters) <= LETTERS:
            told = [[*talk[:-1], one] for talk, one in zip(talks, letters, strict=True)]
            yield from _letter_findings(config, key, told, places)
    elif answers <= LETTERS:
        padded = [p for p, talk in zip(places, talks, strict=True) if talk[-1] not in LETTERS]
        if padded:
            then = ", of which the tokenizer makes another token than the judge reads; write A or B"
            yield of_rows(key, padded, talks, "have white space around the letter", then)
        yield from _measure_findings(config)
        yield from _letter_findings(config, key, talks, places)
        yield from _question_is_trained(config, key, entry)
    else:
        found = [
            *_label_findings(config, key, talks, places[0]),
            *letter_word_findings(config, key, talks, places),
        ]
        yield from found
        if wanted and not found and not answers & LETTERS and not any(map(reasons_letter, talks)):
            yield error(
                f"{key}: none of the {len(talks)} answers is a letter, first {places[0]}, and the "
                f"recipe is for a judge; write its rows (codefavor convert --format {wanted})"
            )


def _is_twice(talk: Sequence[str]) -> bool:
    """Whether a question has the same program twice."""
    found = _PROGRAMS.match("\n".join(talk[:-1]))
    if not found or not found[3].startswith(found[2]):
        return False
    return bool(_ASKED.match(found[3][len(found[2]) :]))


def _measure_findings(config: Mapping[str, Any]) -> Iterator[Finding]:
    judge = at(config, "dev_accuracy.judge")
    if judge not in (None, "pairwise"):
        yield error(
            f"dev_accuracy.judge: {judge} measures how likely or good programs are, and "
            "the rows train a judge's verdicts; write pairwise, or for a judge that reasons remove "
            "dev_accuracy"
        )


def _letter_findings(
    config: Mapping[str, Any], key: str, talks: Sequence[Sequence[str]], places: Sequence[str]
) -> Iterator[Finding]:
    """Letters that are always alike, or that contradict each other."""
    letters = [talk[-1].strip() for talk in talks]
    if key == "datasets" and len(letters) >= _N_LETTERS and len(set(letters)) == 1:
        yield error(
            f"{key}: all of the first {len(letters)} answers are {letters[0]}, so that the letter "
            "is learnt whatever stands there; write both orders (codefavor convert)"
        )
    said = {canonical_json([talk[:-1], talk[-1].strip()]) for talk in talks}
    both = [
        place
        for place, talk in zip(places, talks, strict=True)
        if all(canonical_json([talk[:-1], letter]) in said for letter in LETTERS)
    ]
    if both:
        yield _taken_back(key, both, places, "the other letter")
    orders = _orders(talks, places)
    share = number(config, "val_set_size")
    if key == "datasets" and share and 4 * len(orders) >= len(talks):
        yield error(
            f"val_set_size: {share:g} of rows that stand there in both orders: of most pairs that "
            "are measured the other order would be trained on; write val_set_size: 0, and name "
            "pairs of other questions under test_datasets or dev_accuracy"
        )
    if alike := _of_one_letter(orders):
        what = "have the same letter when their two programs change places"
        then = ": the place is learnt, not the program; write the other letter in one, or drop both"
        yield of_rows(key, alike, talks, what, then, share=_MANY)


def _question_is_trained(
    config: Mapping[str, Any], key: str, entry: Mapping[str, Any]
) -> Iterator[Finding]:
    roles = {str(one) for one in entry.get("roles_to_train") or []}
    if config.get("train_on_inputs") or roles - ANSWERS_AS:
        setting = "train_on_inputs: true" if config.get("train_on_inputs") else "roles_to_train"
        yield error(
            f"{key}: {setting} trains the questions too, of which the letter of a judge is one "
            "token among hundreds; write roles_to_train: [assistant], and no train_on_inputs"
        )


_Orders = Sequence[Mapping[str, tuple[str, str]]]


def _orders(talks: Sequence[Sequence[str]], places: Sequence[str]) -> _Orders:
    """The letter and the place of each question, those together that have the same words."""
    alike: dict[str, dict[str, tuple[str, str]]] = {}
    for talk, place in zip(talks, places, strict=True):
        question = "\n".join(talk[:-1])
        words = canonical_json(sorted(question.split()))
        alike.setdefault(words, {})[question] = (talk[-1].strip(), place)
    return [one for one in alike.values() if len(one) > 1]


def _of_one_letter(orders: _Orders) -> list[str]:
    """The rows that have the letter of a row with their programs exchanged.

    Questions of another form than ours have, exchanged, the same words in another order. Two
    programs of the same words can look like that by accident, most of a file cannot.
    """
    one_letter = [one for one in orders if len({letter for letter, _ in one.values()}) == 1]
    is_sure = 2 * len(one_letter) > len(orders)
    return [
        place
        for one in one_letter
        for question, (_, place) in one.items()
        if is_sure or any(_are_exchanged(question, other) for other in one)
    ]


def _are_exchanged(question: str, other: str) -> bool:
    """Whether two questions of our form differ in the places of their programs alone."""
    found = [_PROGRAMS.match(one) for one in (question, other)]
    if question == other or not found[0] or not found[1]:
        return False
    (head, first, rest), (other_head, second, other_rest) = (one.groups() for one in found if one)
    # Each program stands at the beginning of what follows the other one.
    is_turned = rest.startswith(second) and other_rest.startswith(first)
    return head == other_head and is_turned and rest[len(second) :] == other_rest[len(first) :]


def _label_findings(
    config: Mapping[str, Any], key: str, talks: Sequence[Sequence[str]], first: str
) -> Iterator[Finding]:
    """Answers that are labels, and not the two letters that the question asks for."""
    answers = {talk[-1].strip() for talk in talks}
    is_label = len(answers) <= len(LETTERS) and all(len(one) == 1 for one in answers)
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
