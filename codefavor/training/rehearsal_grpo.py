"""Rehearsals of GRPO: problems that a stand-in can solve, and what it samples and is paid for.

A model of random weights writes no program: every reward would be 0, and nothing would be learnt.
So the stand-in first learns the answers half-way: some samples pass their tests, others do not.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from codefavor.errors import ConfigError
from codefavor.judges.base import Text
from codefavor.judges.chat_tokens import ChatTokens, without_empty_thought
from codefavor.pairs.split import split_of
from codefavor.prompts.chat import SystemTurn, solution_messages, solution_text
from codefavor.records import Preference, Problem, Row, write_rows
from codefavor.scoring.suite_prompt import suite_question
from codefavor.text import opened_thinking
from codefavor.training.plan import needs_of
from codefavor.training.reply_text import sample_text, thinks

_RESULTS = {
    "total": 6,
    "largest": 3,
    "smallest": 1,
    "count": 3,
    "mean": 2.0,
    "double": [6, 2, 4],
    "square": [9, 1, 4],
    "backwards": [2, 1, 3],
}


class Question(NamedTuple):
    """A question of a recipe, code that earns the full reward, and code that earns nothing."""

    text: str
    code: str
    stub: str


# Nats an answer: half of the samples are the answer itself.
_HALF_WAY = 0.7
_MOST_STEPS = 400
# Of a sample: room for one of the answers behind a draft, and for a wrong one.
MAX_TOKENS = 96


def practice_problems(pairs: Sequence[Preference]) -> list[Problem]:
    """The practice pairs as problems, of all three splits."""
    return [
        Problem(
            id=f"rehearse/{word}",
            instruction=pair.instruction,
            tests=f"assert {word}([3, 1, 2]) == {result!r}\nassert {word}([5]) != None",
            entry_point=word,
            reference=pair.chosen,
        )
        for pair, (word, result) in zip(pairs, _RESULTS.items(), strict=True)
    ]


def questions_of(pairs: Sequence[Preference], config: Mapping[str, Any]) -> list[Question]:
    """What a recipe asks about each practice pair: for the program, or for tests of it."""
    if "codefavor.training.rewards.test_quality" not in config["trl"]["reward_funcs"]:
        return [Question(one.instruction, one.chosen, one.rejected) for one in pairs]
    found = []
    for one in practice_problems(pairs):
        head = f"from solution import {one.entry_point}\n\ndef test_it():\n"
        check = one.tests.partition("\n")[0]
        found.append(Question(suite_question(one), f"{head}    {check}", f"{head}    pass"))
    return found


def convert_as_documented(recipe: Path, problems: Sequence[Problem], data: Path) -> None:
    """Make the rows by the very command of the recipe's header, on other problems."""
    commands = [shlex.split(one) for one in needs_of(recipe) if "--format grpo" in one]
    if len(commands) != 1 or commands[0][:2] != ["codefavor", "convert"]:
        raise ConfigError(f"{recipe}: no '# Needs: codefavor convert' line makes its data")
    command = commands[0]
    command[2] = str(data.with_name("problems.jsonl"))
    command[command.index("--out") + 1] = str(data)
    write_rows(Path(command[2]), [one.to_row() for one in problems])
    subprocess.run([sys.executable, "-m", *command], check=True, capture_output=True)


def learn_half_way(
    model: Path, out: Path, asked: Sequence[Question], system: SystemTurn, template: str | None
) -> None:
    """Train a stand-in on the answers until it writes every other one, and save it."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    auto: Any = AutoModelForCausalLM
    tokenizer: Any = AutoTokenizer.from_pretrained(str(model))
    loaded = auto.from_pretrained(str(model))
    tokens = ChatTokens(tokenizer)
    saved, tokenizer.chat_template = tokenizer.chat_template, template or tokenizer.chat_template
    rows = []
    for one in asked:
        question = solution_messages(one.text, system=system)
        rows.append(sample_ids(tokens, question, one))
    tokenizer.chat_template = saved
    width = max(len(prompt) + len(answer) for prompt, answer in rows)
    ids = torch.full((len(rows), width), tokenizer.pad_token_id)
    labels = torch.full((len(rows), width), -100)
    for row, (prompt, answer) in enumerate(rows):
        ids[row, : len(prompt) + len(answer)] = torch.tensor([*prompt, *answer])
        labels[row, len(prompt) : len(prompt) + len(answer)] = torch.tensor(answer)
    mean_length = sum(len(answer) for _, answer in rows) / len(rows)
    optimizer = torch.optim.AdamW(loaded.parameters(), lr=2e-3)
    for _ in range(_MOST_STEPS):
        # Padding stands behind every answer, where nothing looks at it.
        loss = loaded(input_ids=ids, labels=labels).loss
        if float(loss.detach()) * mean_length < _HALF_WAY:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    loaded.save_pretrained(out)
    tokenizer.save_pretrained(out)


def sample_ids(
    tokens: ChatTokens, question: Sequence[Mapping[str, str]], one: Question
) -> tuple[list[int], list[int]]:
    """The tokens of a question as the trainer asks it, and of a sample that earns the full reward.

    Where the template writes thoughts the sample has one: a draft that passes nothing, and is not
    the program that the judge is to reject, which would be learnt as the better one.
    """
    write = tokens.tokenizer.apply_chat_template
    draft = solution_text(one.code.rpartition("\n")[0] + "\n    return None")
    asked = str(write(list(question), add_generation_prompt=True, tokenize=False))
    turn = {"role": "assistant", "content": solution_text(one.code)}
    thought = {"thinking": draft, "reasoning_content": draft}
    whole = str(write([*question, {**turn, **thought}], tokenize=False)).rstrip("\n")
    if not whole.startswith(asked) or draft not in whole:
        before, answer = tokens.texts(question, turn["content"])
        # Gemma 4 asks behind an empty thought, and writes its answers without one.
        asked = asked if asked.startswith(before) else before
        whole = asked + answer
    prompt = tokens.ids(asked)
    return prompt, tokens.ids(whole)[len(prompt) :]


def sample_problems(batches: Sequence[Row], end: Row, trained: Any) -> Iterator[str]:
    """What is wrong with the questions, the samples, their rewards, or the way the model went."""
    problems = practice_problems(trained.pairs)
    asked = questions_of(trained.pairs, trained.config)
    questions = {
        tuple(trained.judge.answer_ids(Text(one.text, "", ""))[0]): problem
        for one, problem in zip(asked, problems, strict=True)
    }
    groups = [batch["sequences"] for batch in batches]
    for rows in groups:
        problem = next(filter(None, (_sample_problem(one, questions, trained) for one in rows)), "")
        if problem:
            yield f"samples: {problem}"
            return
        yield from _reward_problems(rows, questions, trained)
    if not any(len({str(one["label"]) for one in rows}) > 1 for rows in groups):
        yield "rewards: every sample has the same, so nothing was learnt"
    elif not end["gain"] > 0:
        yield f"samples: the better ones became less likely ({end['gain']:.3f} nats)"


def is_begun_twice(ids: Sequence[int], tokenizer: Any) -> bool:
    """Whether two tokens that begin, end or pad a text stand before it.

    The judge is no witness of it: it is asked by the same template.
    """
    marks = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}
    return len(ids) > 1 and marks.issuperset(ids[:2])


def _split_row(one: Row) -> tuple[tuple[int, ...], list[int]]:
    first = one["trained"].index(1)
    last = len(one["ids"]) - one["trained"][::-1].index(1)
    return tuple(one["ids"][:first]), one["ids"][first:last]


def _asked(questions: Mapping[Any, Problem], prompt: tuple[int, ...], tokenizer: Any) -> Any:
    """The problem that a prompt asks; None where the judge asks nothing like it.

    Of a model that can think one of the two may stand before an empty thought, and the other behind
    it (Qwen3, Gemma 4), or before the mark that begins an answer (gpt-oss).
    """
    if not thinks(str(tokenizer.chat_template)):
        return questions.get(prompt)
    asked = without_empty_thought(str(tokenizer.decode(prompt)))
    return next(
        (
            questions[one]
            for one in questions
            if without_empty_thought(str(tokenizer.decode(one))).startswith(asked)
        ),
        None,
    )


def _sample_problem(one: Row, questions: Mapping[Any, Problem], trained: Any) -> str:
    tokenizer = trained.tokenizer
    prompt, answer = _split_row(one)
    if is_begun_twice(prompt, tokenizer):
        return f"not one beginning of text: {tokenizer.decode(prompt[:3])!r}"
    asked = _asked(questions, prompt, tokenizer)
    if asked is None:
        return f"{tokenizer.decode(prompt)!r} is asked, and the judge asks nothing like it"
    if split_of(asked.id) != "train":
        return f"{asked.id} is asked, which is of the split {split_of(asked.id)}"
    if sum(one["trained"]) != len(answer) or tokenizer.eos_token_id in answer[:-1]:
        return f"{tokenizer.decode(answer)!r} is trained, which is not one whole sample"
    is_cut = answer[-1] != tokenizer.eos_token_id
    if is_cut and len(answer) != MAX_TOKENS:
        return f"{tokenizer.decode(answer)!r} ends before its end"
    return ""


def _reward_problems(
    rows: Sequence[Row], questions: Mapping[Any, Problem], trained: Any
) -> Iterator[str]:
    """Rewards that are not those of the program that stands in the sample's own tokens."""
    split = [_split_row(one) for one in rows]
    tokenizer = trained.tokenizer
    # With the special tokens that the trainer leaves out of the texts that it hands to a reward.
    texts = [
        opened_thinking(tokenizer.decode(prompt)) + sample_text(tokenizer, answer)
        for prompt, answer in split
    ]
    asked = [_asked(questions, prompt, tokenizer) for prompt, _ in split]
    names = ("tests", "entry_point", "setup", "reference")
    columns = {name: [getattr(one, name) for one in asked] for name in names}
    columns["instruction"] = [one.instruction + one.prompt for one in asked]
    for place, name in enumerate(trained.config["trl"]["reward_funcs"]):
        module, _, function = name.rpartition(".")
        found = getattr(import_module(module), function)(texts, **columns)
        for text, one, wanted in zip(texts, rows, found, strict=True):
            if one["label"][place] != wanted:
                yield f"rewards: {function} gave {one['label'][place]} for {text!r}, not {wanted}"
                return
