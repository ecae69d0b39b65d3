"""The forms in which others publish preference data: what tells each, and how its rows are read.

Sources of the columns: TRL's data set formats (preference, implicit prompt, unpaired preference),
LLaMA-Factory's and ShareGPT's, and the cards of the sets that the forms are named after.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from codefavor.errors import DataError, Rejected
from codefavor.pairs.published_readers import (
    Answer,
    Shape,
    Side,
    conversations,
    graded,
    judged,
    labelled_conversation,
    labelled_rows,
    listed,
    named,
    prompted,
    rated,
    truth_of,
)
from codefavor.pairs.published_turns import (
    decoded,
    score_of,
    text_of,
)
from codefavor.pairs.watched_row import WatchedRow
from codefavor.records import Preference, Row

OWN_FORM, LABELLED_FORM = "codefavor", "labelled answers (KTO)"
# Other names of the two answers; rows with them are read as if they said "chosen" and "rejected".
_OTHER_NAMES = (
    ("accepted", "rejected"),
    ("chosen_response", "rejected_response"),
    ("response_j", "response_k"),
    ("preferred_output", "non_preferred_output"),
)
# An arena's lists of questions and of answers, and who won.
# Columns of what a question is about beside its text.
_NOT_TEXT = ("images", "image", "image_path", "videos", "video", "audios", "audio")
_LISTED = ("prompt", "response_a", "response_b", "winner_model_a", "winner_model_b")
_ALPACA = {"instruction", "input", "output", "system", "history"}
_V1 = ("chosen_messages", "rejected_messages")
_OWN_FIELDS = {one.name for one in dataclasses.fields(Preference)}
_ONLY_OWN = {"problem_id", "evidence", "meta"}


def known_form(row: Mapping[str, Any], where: str = "row") -> tuple[Shape, WatchedRow]:
    """The first known form whose columns a row has, and the row as that form reads it.

    Raises DataError where there is none.
    """
    try:
        row = _as_conversations({name: decoded(value, name) for name, value in row.items()})
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error
    watched = WatchedRow(row, _renamed(row))
    return _shape_of(dict(watched), where), watched  # looking at a column does not read it


def read_form(shape: Shape, row: WatchedRow, where: str) -> list[Side | Answer]:
    """What a row says; raises Rejected where that is no pair, DataError where it is unreadable."""
    if seen := [name for name in _NOT_TEXT if dict.get(row, name)]:
        raise Rejected("not_text", f"the row has {seen[0]}")
    if any(row[name] is None for name in shape.columns):
        raise Rejected("null_column", where)
    try:
        return list(shape.read(row))
    except ValueError as error:
        text = str(error)
        for new, old in row.renamed.items():
            text = text.replace(repr(new), repr(old))
        raise DataError(f"{where}: {text}; read as {shape.name}") from error


def _as_conversations(row: Row) -> Row:
    """A row of an arena that lists questions and answers apart, as two conversations; any other as
    it is, but what stands within an object: a question (WebGPT), the messages before an answer
    (OpenAI), and two outputs, of which LLaMA-Factory has the better one first."""
    if isinstance(asked := row.get("question"), Mapping) and "full_text" in asked:
        row["question"] = asked["full_text"]
    if isinstance(asked := row.get("input"), Mapping) and "messages" in asked:
        del row["input"]
        row |= asked
    if set(row) <= _ALPACA and len(outputs := _texts(row.get("output"))) == 2:
        row["chosen"], row["rejected"] = outputs
        del row["output"]
    if not set(row).issuperset(_LISTED):
        return row
    asked, *replies = (_texts(row[name]) for name in _LISTED[:3])
    if asked and all(len(one) == len(asked) for one in replies):
        for side, answers in zip("ab", replies, strict=True):
            both = [
                (("user", one), ("assistant", other))
                for one, other in zip(asked, answers, strict=True)
            ]
            row[f"conversation_{side}"] = [
                {"role": role, "content": text} for pair in both for role, text in pair
            ]
        won = [side for side in "ab" if truth_of(row, f"winner_model_{side}")]
        row["winner"] = f"model_{won[0]}" if len(won) == 1 else "tie"
        row = {name: row[name] for name in row if name not in (*_LISTED, "winner_tie")}
    return row


def _texts(value: Any) -> list[str]:
    """A list of texts, also where it is written as JSON; [] for anything else."""
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return []
    is_list = isinstance(found, list) and all(isinstance(one, str) for one in found)
    return found if is_list else []


def _renamed(row: Mapping[str, Any]) -> dict[str, str]:
    if "kto_tag" in row:  # LLaMA-Factory's two forms
        text = {"prompt": "instruction", "completion": "output"} if "output" in row else {}
        talk = {"messages": "conversations"} if "conversations" in row else {}
        return {"label": "kto_tag", **text, **talk}
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


OURS = Shape(OWN_FORM, ("id", "instruction", "chosen", "rejected"), lambda row: ())

SHAPES: tuple[Shape, ...] = (
    OURS,
    # `prompt` first: binarised UltraFeedback has a whole conversation under `messages` too.
    *(
        Shape(f"{column} with two answers", (column, "chosen", "rejected"), prompted(column))
        for column in (
            "prompt", "messages", "conversations", "trajectory", "instruction", "question", "input",
        )
    ),
    Shape("two conversations", ("chosen", "rejected"), conversations),
    Shape("two conversations (LLaMA-Factory v1)", _V1, lambda row: conversations(row, _V1)),
    Shape(LABELLED_FORM, ("prompt", "completion", "label"), labelled_rows),
    Shape(LABELLED_FORM, ("messages", "label"), labelled_conversation),
    judged(
        "two judged responses (HelpSteer3)",
        "context", ("response1", "response2"), "overall_preference", graded,
    ),
    judged(
        "two judged responses (HelpSteer2)",
        "prompt", ("response_1", "response_2"), "preference_strength", graded,
    ),
    judged(
        "two judged responses (PKU-SafeRLHF)",
        "prompt", ("response_0", "response_1"), "better_response_id", named(0, 1),
    ),
    judged(
        "two comments (SHP)",
        "history", ("human_ref_A", "human_ref_B"), "labels", named(1, 0),
        scores=("score_A", "score_B"),
    ),
    judged(
        "two conversations of an arena",
        "", ("conversation_a", "conversation_b"), "winner",
        named("model_a", "model_b", "tie", "tie (bothbad)", "both_bad"),
    ),
    *(
        judged(
            "two judged outputs", asked, ("output_1", "output_2"), one, named(1, 2, 0),
            is_counted=True,
        )
        for asked, one in (
            ("instruction", "preference"), ("instruction", "label"), ("input", "label"),
        )  # AlpacaFarm, OffsetBias, LLMBar
    ),
    judged(
        "two judged responses (JudgeBench)",
        "question", ("response_A", "response_B"), "label", named("A>B", "B>A"),
    ),
    judged(
        "two scored answers (WebGPT)",
        "question", ("answer_0", "answer_1"), "score_0", lambda value: -(score_of(value) or 0.0),
        scores=("score_0", "score_1"),
    ),
    rated("rated responses (HelpSteer)", "helpfulness"),
    rated("rated responses", "reward"),
    listed(
        "scored completions (UltraFeedback)",
        ("instruction", "completions", "response"),
        ("fine-grained_score", "overall_score"),
    ),
    listed(
        "responses with annotations (CodeUltraFeedback)",
        ("instruction", "responses", "response"), ("rating",), beside="annotations",
    ),
    *(
        listed("answers with scores", ("prompt", one, "text"), ("score",), beside="scores")
        for one in ("candidates", "responses")
    ),
    listed("ranked answers (Nectar)", ("prompt", "answers", "answer"), ("rank",), -1.0),
    listed("voted answers (Stack Exchange)", ("question", "answers", "text"), ("pm_score",)),
    listed(
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
