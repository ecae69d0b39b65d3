"""The tokens that are trained on against the texts of their rows: none lost, none too many."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from codefavor.text import CONTROL_TOKEN
from codefavor.training.check_written import Conversation, conversations, lost_turn, squeezed
from codefavor.training.findings import ANSWERS_AS, Finding, error, shown
from codefavor.training.preview import Preview, TokenRow

# A template treats all rows alike: so many sequences are enough.
_N_SEQUENCES = 500
_N_END = 8
_ANSWER_ALONE = {"sft", "dpo", "ipo", "simpo", "orpo", "kto"}


def trained_findings(reader: Preview, sequences: Sequence[TokenRow]) -> Iterator[Finding]:
    """Texts of a row that its tokens lack, and trained tokens that are of its question."""
    found: dict[str, list[str]] = {}
    checked = sequences[:_N_SEQUENCES]
    for one in checked:
        for problem in _problems(reader, one):
            found.setdefault(problem.partition(": ")[0], []).append(
                f"{one.where} {one.part}".strip() + f": {problem.partition(': ')[2]}"
            )
    for problem, places in found.items():
        yield error(
            f"{len(places)} of {len(checked)} sequences {problem}, first {places[0]}; take another "
            "template, or other rows (codefavor recipes preview shows the tokens)"
        )


def foreign_findings(reader: Preview, sequences: Sequence[TokenRow]) -> Iterator[Finding]:
    """Turn tokens of another family, which a reader writes and the tokenizer splits."""
    for one in sequences[:1]:
        text = str(reader.tokenizer.decode(list(one.input_ids), skip_special_tokens=False))
        split = [
            token
            for token in dict.fromkeys(CONTROL_TOKEN.findall(text))
            if token not in {"[INST]", "[/INST]"} and len(_ids(reader, token)) > 1
        ]
        if split:
            yield error(
                f"the type {one.entry.get('type')} writes {', '.join(split)}, which are no tokens "
                f"of {reader.config.get('base_model')} and are split into pieces; take a type of "
                "its own template (codefavor.preferences, chat_template)"
            )


def _ids(reader: Preview, text: str) -> list[int]:
    return list(reader.tokenizer(text, add_special_tokens=False)["input_ids"])


def _problems(reader: Preview, one: TokenRow) -> Iterator[str]:
    conversation = _conversation(one)
    if conversation is None:
        return
    turns = [
        {**turn, "content": _as_tokens(reader, turn["content"])} for turn in conversation.turns
    ]
    whole = str(reader.tokenizer.decode(list(one.input_ids), skip_special_tokens=False))
    if lost := lost_turn(whole, turns):
        yield f"lack what their row says: {shown(lost['content'])} ({lost['role']})"
    if reader.method not in _ANSWER_ALONE or not _trains_answers_alone(reader, one.entry):
        return
    ids = [token for token, is_on in zip(one.input_ids, one.is_trained, strict=True) if is_on]
    rest = squeezed(str(reader.tokenizer.decode(ids, skip_special_tokens=True)))
    answers = [turn for turn in turns if turn["role"] == "assistant"]
    if reader.method != "sft":
        answers = answers[-1:]
    elif answers and not any(_end(turn["content"]) in rest for turn in answers):
        yield f"do not train the answer: {shown(answers[-1]['content'])}"
    for turn in answers:
        rest = rest.replace(squeezed(turn["content"]), "", 1)
    for turn in turns:
        says = squeezed(turn["content"])
        if turn["role"] != "assistant" and says and says in rest:
            yield f"train the question beside the answer: {shown(turn['content'])}"


def _end(answer: str) -> str:
    """The last words of an answer: a part of it may be left out of what is trained."""
    return squeezed(answer)[-_N_END:]


def _conversation(one: TokenRow) -> Conversation | None:
    """The turns that a sequence is made of; None where that is not known."""
    made = conversations(one.row, one.entry)
    named = [each for each in made if each.part == one.part]
    return (named or made)[0] if len(named or made) == 1 else None


def _as_tokens(reader: Preview, text: str) -> str:
    """A text as the tokenizer gives it back: some change characters, or do not know them."""
    ids = reader.tokenizer(text, add_special_tokens=False)["input_ids"]
    return str(reader.tokenizer.decode(ids, skip_special_tokens=False))


def _trains_answers_alone(reader: Preview, entry: Mapping[str, Any]) -> bool:
    roles = set(entry.get("roles_to_train") or ["assistant"])
    return roles <= ANSWERS_AS and not reader.config.get("train_on_inputs")
