"""One published row of a preference benchmark as its labelled pairs: a function a benchmark.

Whole answers stay whole (language "markdown" shows them as they are), since published judges and
reward models read them so; they state no criteria, since none were published with them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import PurePath
from typing import Any

from codefavor.errors import DataError
from codefavor.languages import language_name
from codefavor.records import Preference, Row, content_id
from codefavor.text import parse_fences

CORRECT = "The program does exactly what the instruction asks."
_ASPECTS = {
    "Functional_Correctness": CORRECT,
    "Runtime_Efficiency": "The program needs little time to run.",
    "Memory_Efficiency": "The program needs little memory to run.",
    "Readability_Maintainability": "The program is easy to read and to maintain.",
    "Security_Hardness": "The program has no vulnerability and withstands hostile input.",
}
_PREFERENCES = {
    "instruction-following": "The answer does all that the instruction asks, as it asks.",
    "readability": "The code is clear, well named and easy to follow.",
    "complexity": "The code needs little time and memory, by a fitting algorithm.",
    "style": "The code keeps to the conventions of its language.",
    "explanation": "The answer explains its code clearly and to the point.",
}
_STYLES = ("concise", "detailed", "markdown")
# The kinds of DebugBench's shards, whose names say the rest: "cpp_missing colons.json".
_BUGS = {
    "syntax error": (
        "illegal comment", "illegal indentation", "illegal keywords", "illegal separation",
        "missing colons", "misused == or =", "unclosed parentheses", "unclosed string",
    ),
    "reference error": ("faulty indexing", "undefined methods", "undefined objects"),
    "logic error": ("condition error", "operation error", "other error", "variable error"),
    "multiple error": ("double", "triple", "quadruple"),
}  # fmt: skip
_CATEGORY = {bug: category for category, bugs in _BUGS.items() for bug in bugs}
_SPLIT = re.compile(r"\[(.+)\]$")
_VOTES = {"vote_model_A": ("model_A", "model_B"), "vote_model_B": ("model_B", "model_A")}
_NO_CHOICE = ("vote_tie", "vote_both_bad")
# What a failed run of CodeJudgeBench's programs to repair says, and what it is called here.
_FAILURE = {
    "error": "Error", "error_message": "Message", "inputs": "Input", "output": "Output",
    "expected": "Expected output",
}  # fmt: skip


def field(row: Row, where: str, *names: str) -> str:
    """The first of these fields that is not empty; raises DataError where all are."""
    for name in names:
        if row.get(name) not in (None, ""):
            return str(row[name])
    raise DataError(
        f"{where}: expected the field {' or '.join(repr(name) for name in names)}; "
        f"found {', '.join(sorted(row)) or 'none'}"
    )


def _pair(
    key: str, instruction: str, chosen: str, rejected: str, *, level: str, **more: Any
) -> Preference:
    """One pair; `more` are further fields of it."""
    return Preference(
        id=content_id(key, chosen, rejected),
        instruction=instruction,
        chosen=chosen,
        rejected=rejected,
        level=level,
        problem_id=content_id(instruction)[:16],
        **more,
    )


def _answers(
    key: str, instruction: str, chosen: str, rejected: str, *, language: str = "", **more: Any
) -> Preference:
    """A pair of whole answers; without a `language` stated it is that of their first program."""
    known = language or next(
        (
            language_name(fence.language)
            for answer in (chosen, rejected)
            for fence in parse_fences(answer)
            if fence.language
        ),
        "",
    )
    return _pair(key, instruction, chosen, rejected, language=known, **more)


def origin_of(where: str) -> str:
    """The split of a row of the Hub, or the name of its file without ending and shard number."""
    place = where.rpartition(":")[0]
    split = _SPLIT.search(place)
    if split:
        return split[1]
    name = PurePath(place).name.removesuffix(".gz").rpartition(".")[0]
    return re.sub(r"-\d+-of-\d+$", "", name)


def humanevalpack(row: Row, where: str) -> Iterator[Preference]:
    """The canonical program against the buggy one, each behind the task's declaration."""
    task = field(row, where, "task_id")
    language = language_name(task.split("/", maxsplit=1)[0])
    head = str(row.get("declaration") or field(row, where, "prompt"))
    sides = (head + field(row, where, name) for name in ("canonical_solution", "buggy_solution"))
    instruction = field(row, where, "instruction", "prompt")
    yield _pair(task, instruction, *sides, level=language, language=language, criteria=CORRECT)


def rewardbench(row: Row, where: str) -> Iterator[Preference]:
    """The code subsets: programs without a fence, which reward models read as answers."""
    subset = field(row, where, "subset")
    if subset.startswith("hep-"):
        texts = (field(row, where, name) for name in ("prompt", "chosen", "rejected"))
        language = language_name(subset[4:])
        yield _answers(str(row.get("id", "")), *texts, level=subset, language=language)


def rewardbench2(row: Row, where: str) -> Iterator[Preference]:
    """It has no code domain: pairs whose two answers both hold a fenced program are taken."""
    prompt, key = field(row, where, "prompt"), str(row.get("id", ""))
    for chosen in _list(row, where, "chosen"):
        for rejected in _list(row, where, "rejected"):
            if "```" in chosen and "```" in rejected:
                yield _answers(key, prompt, chosen, rejected, level=str(row.get("subset", "")))


def rm_bench(row: Row, where: str) -> Iterator[Preference]:
    """Three styles of each answer: easy where the chosen one is the more elaborate, and so on.

    The file of the code domain alone states no domain, but the language, which the file of all
    domains leaves to the fences.
    """
    if field(row, where, "domain", "subset").lower() not in ("code", "bigcode/humanevalpack"):
        return
    chosen, rejected = _list(row, where, "chosen"), _list(row, where, "rejected")
    if not len(chosen) == len(rejected) == len(_STYLES):
        raise DataError(f"{where}: expected three chosen and three rejected answers")
    language = str(row.get("language") or "") or _fenced_language([*chosen, *rejected])
    for i, better in enumerate(_STYLES):
        for j, worse in enumerate(_STYLES):
            yield _answers(
                f"{row.get('id', '')}:{i}:{j}",
                field(row, where, "prompt"),
                chosen[i],
                rejected[j],
                level="normal" if i == j else "easy" if i > j else "hard",
                language=language_name(language),
                meta={"styles": f"{better} against {worse}"},
            )


def _fenced_language(answers: list[str]) -> str:
    found = (fence.language for answer in answers for fence in parse_fences(answer))
    return next((language for language in found if language), "")


def judgebench(row: Row, where: str) -> Iterator[Preference]:
    """The pairs of its coding questions, by the model that wrote both answers."""
    if not field(row, where, "source").startswith("livecodebench"):
        return
    label = field(row, where, "label")
    answers = (field(row, where, "response_A"), field(row, where, "response_B"))
    if label not in ("A>B", "B>A"):
        raise DataError(f"{where}: 'label' must be 'A>B' or 'B>A', found {label!r}")
    key, question = str(row.get("pair_id", "")), field(row, where, "question")
    sides = answers if label == "A>B" else answers[::-1]
    level = str(row.get("response_model", ""))
    yield _answers(key, question, *sides, level=level, language="python")


def themis(row: Row, where: str) -> Iterator[Preference]:
    """Whole answers under one of five aspects, in eight languages."""
    aspect = _known(row, where, "aspect", _ASPECTS)
    yield _answers(
        str(row.get("id", "")),
        *(field(row, where, name) for name in ("prompt", "chosen", "rejected")),
        level=aspect,
        language=language_name(str(row.get("language", ""))),
        criteria=_ASPECTS[aspect],
    )


def codejudgebench(row: Row, where: str) -> Iterator[Preference]:
    """A row of any of its three tasks, which its fields tell apart."""
    question = field(row, where, "question_content", "question", "instruction", "prompt")
    sides = tuple(field(row, where, f"{side}_response") for side in ("pos", "neg"))
    task = "codegen"
    if "pos_input" in row:
        task = "testgen"
        question = f"Write the input and the expected output of one test of:\n\n{question}"
        sides = tuple(
            f"Input:\n```\n{field(row, where, f'{side}_input')}\n```\n\n"
            f"Output:\n```\n{field(row, where, f'{side}_response')}\n```"
            for side in ("pos", "neg")
        )
    elif "wrong_code" in row:
        task = "coderepair"
        question = (
            f"Mend the program below, which is to solve this:\n\n{question}\n\n"
            f"```python\n{field(row, where, 'wrong_code').strip()}\n```\n\n{_failure(row, where)}"
        )
    # One question has answers of several models.
    maker = origin_of(where)
    yield _answers(
        f"{task}:{maker}:{row.get('question_id', '')}",
        question,
        *sides,
        level=task,
        language="python",
        meta={"responder": maker, "difficulty": str(row.get("difficulty") or "")},
    )


def _failure(row: Row, where: str) -> str:
    meta = row.get("wrong_meta")
    if not isinstance(meta, Mapping):
        raise DataError(f"{where}: 'wrong_meta' must be an object, found {type(meta).__name__}")
    said = [f"{title}:\n{meta[key]}" for key, title in _FAILURE.items() if meta.get(key)]
    return "It fails.\n" + "\n".join(said)


def debugbench(row: Row, where: str) -> Iterator[Preference]:
    """The program of a person against the same with an implanted bug.

    Read in both forms: of the Hub (`language`, `category`, `subtype`) and of the shards, whose
    file names say language and bug.
    """
    language, _, bug = origin_of(where).partition("_")
    bug = str(row.get("subtype") or bug)
    category = str(row.get("category") or _CATEGORY.get(bug, ""))
    if not category:
        raise DataError(f"{where}: no 'category', and no known bug in the file's name")
    asked = [field(row, where, "question", "description")]
    asked += [str(one) for one in row.get("examples") or ()]
    asked += [f"Constraints:\n{row['constraints']}"] if row.get("constraints") else []
    yield _pair(
        f"{row.get('language') or language}:{bug}:{field(row, where, 'slug')}",
        "\n\n".join(asked),
        field(row, where, "solution", "oracle_code"),
        field(row, where, "buggy_code"),
        level=category,
        language=language_name(str(row.get("language") or language)),
        criteria=CORRECT,
        meta={"bug": bug, "difficulty": str(row.get("level") or "")},
    )


def llmbar(row: Row, where: str) -> Iterator[Preference]:
    """Whether an answer keeps to its instruction, mostly without code. The level is the set."""
    label = str(row.get("label"))
    if label not in ("1", "2"):
        raise DataError(f"{where}: 'label' must be 1 or 2, found {label!r}")
    outputs = (field(row, where, "output_1"), field(row, where, "output_2"))
    path = PurePath(where.rpartition(":")[0])
    folder = path.parent.name
    own = folder if folder == "Natural" else f"{path.parent.parent.name}_{folder}"
    level = origin_of(where) if _SPLIT.search(str(path)) else own
    sides = outputs if label == "1" else outputs[::-1]
    yield _answers(level, field(row, where, "input"), *sides, level=level)


def acecodepair(row: Row, where: str) -> Iterator[Preference]:
    """A sampled program that passes more tests against one that passes fewer."""
    asked = [field(row, where, "instruction"), str(row.get("input") or "")]
    sides = (field(row, where, name) for name in ("chosen", "rejected"))
    instruction = "\n".join(text for text in asked if text)
    yield _answers(str(row.get("id", "")), instruction, *sides, level="", language="python")


def codeultrafeedback(row: Row, where: str) -> Iterator[Preference]:
    """Every two of a row's four answers whose ratings differ, under the row's preference."""
    preference = _known(row, where, "preference", _PREFERENCES)
    replies, notes = row.get("responses"), row.get("annotations")
    if not isinstance(replies, list) or not isinstance(notes, list):
        raise DataError(f"{where}: 'responses' and 'annotations' must be lists")
    texts = {one["model"]: one["response"] for one in replies}
    ratings = {one["model"]: one["rating"] for one in notes if str(one["rating"]).isdigit()}
    rated = [model for model in texts if model in ratings]
    for one, other in combinations(rated, 2):
        better, worse = sorted((one, other), key=lambda model: -int(ratings[model]))
        if ratings[one] != ratings[other] and texts[better] and texts[worse]:
            yield _answers(
                f"{better}:{worse}",
                field(row, where, "instruction"),
                texts[better],
                texts[worse],
                level=preference,
                criteria=_PREFERENCES[preference],
            )


def bigcodereward(row: Row, where: str) -> Iterator[Preference]:
    """The last answers of two models between which a person chose, without what they printed.

    Votes for neither are no pairs; the published accuracy has them as a third class.
    """
    vote = field(row, where, "human_vote")
    if vote in _NO_CHOICE:
        return
    if vote not in _VOTES:
        known = ", ".join([*_VOTES, *_NO_CHOICE])
        raise DataError(f"{where}: unknown 'human_vote' {vote!r}; known: {known}")
    sides = []
    for model in _VOTES[vote]:
        try:
            sides.append(str(row["states"][model]["messages"][-1][-1]))
        except (KeyError, IndexError, TypeError) as error:
            raise DataError(f"{where}: no messages of {model} in 'states'") from error
    key = field(row, where, "chat_session_id")
    level = str(row.get("category_name") or "")
    yield _answers(key, field(row, where, "instruction"), *sides, level=level)


def _known(row: Row, where: str, name: str, known: Mapping[str, str]) -> str:
    value = field(row, where, name)
    if value not in known:
        raise DataError(f"{where}: unknown {name!r} {value!r}; known: {', '.join(known)}")
    return value


def _list(row: Row, where: str, name: str) -> list[str]:
    values = row.get(name)
    if not isinstance(values, (list, tuple)) or not all(isinstance(v, str) for v in values):
        raise DataError(f"{where}: {name!r} must be a list of texts, found {type(values).__name__}")
    return list(values)
