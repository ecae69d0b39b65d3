"""What a rehearsal looks at: trained tokens, losses, the adapter, and the judge's answers."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple, TypeVar

from codefavor.backends.local import chat_ids, load_model
from codefavor.errors import BackendError
from codefavor.judges.base import Text, in_both_orders
from codefavor.judges.chat_tokens import ChatTokens
from codefavor.judges.likelihood import LikelihoodJudge
from codefavor.judges.pairwise import LABELS, PairwiseJudge
from codefavor.judges.process import ProcessJudge
from codefavor.judges.reward import RewardJudge
from codefavor.judges.scorer import SequenceScorer
from codefavor.prompts.chat import SystemTurn, comparison_messages, solution_text
from codefavor.records import Comparison, Preference, Row, content_id
from codefavor.training.check_written import drops_system, lost_texts
from codefavor.training.formats import convert
from codefavor.training.recipes import WITH_REFERENCE, method_of
from codefavor.training.rehearsal_grpo import is_begun_twice, questions_of, sample_problems

T = TypeVar("T")
PROBE_FILE = "rehearsal.jsonl"
# Of a loss in single precision against the formula in double.
_TOLERANCE = 2e-4
_VALUE_TOLERANCE = 1e-3
# The losses of DPO that rehearsal_probe.py has the formula of.
_REFERENCED = {"ipo", "robust", "sft", "sigmoid", "sigmoid_norm"}
PRACTICE_BODIES = {
    "total": "sum(xs)",
    "largest": "max(xs)",
    "smallest": "min(xs)",
    "count": "len(xs)",
    "mean": "sum(xs) / len(xs)",
    "double": "[2 * x for x in xs]",
    "square": "[x * x for x in xs]",
    "backwards": "xs[::-1]",
}


def practice_pairs() -> list[Preference]:
    """Working programs against stubs, which any model can learn to tell apart."""
    return [
        Preference(
            id=content_id("practice", word),
            instruction=f"Write {word}(xs) for the list xs.",
            chosen=f"def {word}(xs):\n    xs = list(xs)\n    return {body}",
            rejected=f"def {word}(xs):\n    xs = list(xs)\n    pass",
            feedback="[REJECTED] is a stub. [CHOSEN] works.",
        )
        for word, body in PRACTICE_BODIES.items()
    ]


def found_problems(
    trained: tuple[str, SystemTurn, Row, Path, Path, Sequence[Preference]],
) -> list[str]:
    """Everything that is wrong with a finished rehearsal, given what `Trained` is made of."""
    config, out = trained[2], trained[4]
    with open(out / PROBE_FILE, encoding="utf-8") as lines:
        model_row, *batches = (json.loads(line) for line in lines)
    end = batches.pop() if "values" in batches[-1] else None
    result = Trained(*trained)
    if method_of(config) == "grpo":
        samples = list(sample_problems(batches, end or {}, result))
        # The judge is asked about what was sampled: programs, or tests of them.
        result.pairs = [
            replace(pair, instruction=one.text, chosen=one.code, rejected=one.stub)
            for pair, one in zip(result.pairs, questions_of(result.pairs, config), strict=True)
        ]
        return [
            *template_problems(result.tokenizer, result.system),
            *adapter_problems(model_row, config),
            *loss_problems(batches, falls=False),
            *samples,
            *result.value_problems(end or {}),
            *result.judge_problems(),
        ]
    return [
        *template_problems(result.tokenizer, result.system),
        *adapter_problems(model_row, config),
        *loss_problems(batches),
        *token_problems(batches, result),
        *(result.value_problems(end) if end else []),
        *result.judge_problems(),
    ]


def template_problems(tokenizer: Any, system: SystemTurn) -> Iterator[str]:
    """Texts that the template of a trained model loses, or writes where they are trained.

    Rows that are made without a system's turn (`system` is "none") do not miss it.
    """
    text = str(tokenizer.chat_template)
    roles = {"bos": tokenizer.bos_token or "", "eos": tokenizer.eos_token or ""}
    for problem in dict.fromkeys(lost_texts(text, roles)):
        yield f"template: {problem}"
    if system != "none" and drops_system(text, roles):
        yield "template: it leaves out the text of a system's turn"


def adapter_problems(model: Row, config: Mapping[str, Any]) -> Iterator[str]:
    """Modules that the adapter touches and should not, or should and does not."""
    has_head = any("score" in name for name in model["trained"])
    if method_of(config) in {"reward", "process_reward"} and not has_head:
        yield f"adapter: {model['model']} trains no head"
    if not config.get("adapter"):
        return
    for name in model["adapted"]:
        if not _layer_of(name):
            yield f"adapter: {name} is adapted, which is no layer of the language model"
    layers = config.get("peft_layers_to_transform")
    named = config.get("lora_target_modules")
    for name in model["bare"]:
        layer = _layer_of(name)
        if not layer or (layers and int(layer) not in layers):
            continue
        if isinstance(named, list) and name.rsplit(".", 1)[-1] not in named:
            continue
        yield f"adapter: {name} is not adapted"


def _layer_of(name: str) -> str:
    """The number of the language model's layer that a module is of; "" for routers and others."""
    found = re.search(r"\blayers\.(\d+)\.", name)
    return found[1] if found and not re.search(r"vision|\b(gate|router)\b", name) else ""


def unchecked_losses(config: Mapping[str, Any]) -> list[str]:
    """Losses without a reference formula: a rehearsal could not tell whether they are another."""
    named = set(config.get("dpo_loss_type") or []) if method_of(config) in {"dpo", "ipo"} else set()
    return [
        f"loss: not checked: there is no reference formula for dpo_loss_type {one} (for "
        f"{', '.join(sorted(_REFERENCED))} there is)"
        for one in sorted(named - _REFERENCED)
    ]


def loss_problems(batches: Sequence[Row], *, falls: bool = True) -> Iterator[str]:
    """The first batch whose loss is not its method's formula, and a loss that should fall."""
    for batch in batches:
        loss, expected = batch["loss"], batch["expected"]
        if not abs(loss - expected) <= _TOLERANCE * max(1.0, abs(expected)):
            yield f"loss: {loss:.6f} at step {batch['step']}, by its formula {expected:.6f}"
            return
    losses = [batch["loss"] for batch in batches]
    # At such a pace it may rise again for a step or two on the way.
    if falls and not fmean(losses[-3:]) < losses[0]:
        yield "loss: it does not fall"


class Reasoner:
    """A judge that writes its reasons, asked as the backend `local:` asks it."""

    def __init__(self, base: Path, adapter: Path | None, system: SystemTurn) -> None:
        loaded = load_model(base, adapter=adapter)
        self._system = system
        self._tokens = ChatTokens(loaded.tokenizer)
        self.scorer = SequenceScorer(loaded.model)

    def answer_ids(self, comparison: Comparison, answer: str) -> tuple[list[int], list[int]]:
        """The tokens of the backend's prompt, and those of the answer behind it."""
        messages = comparison_messages(comparison, system=self._system, answer="reasoned")
        prompt = chat_ids(self._tokens.tokenizer, messages)
        return prompt, self._tokens.completion_ids(messages, answer)[1]

    def likelihood(self, pairs: Sequence[Preference]) -> float:
        """The mean log-probability a token of the trained answers."""
        items = [
            self.answer_ids(
                Comparison(one.instruction, one.chosen, one.rejected), _reasons(one, "A")
            )
            for one in pairs
        ]
        scores = map(_known, self.scorer.completion_logprobs(items))
        return fmean(score.total / score.n_tokens for score in scores)


def _reasons(pair: Preference, letter: str) -> str:
    """The answer that the format pairwise_cot trains for a pair whose better program is there."""
    answers = [str(row["messages"][-1]["content"]) for row in convert([pair], "pairwise_cot").rows]
    return next(answer for answer in answers if answer.endswith(f"[RESULT] {letter}"))


def _known(value: T | BackendError) -> T:
    if isinstance(value, BackendError):
        raise value
    return value


class Asked(NamedTuple):
    """One sequence as the judge asks it: `places` are the tokens that it reads or scores.

    `text` is the trained answer, "" where a head reads; `is_good` says whether it is of the better
    program (the letters always are).
    """

    ids: list[int]
    places: list[int]
    text: str
    is_good: bool = True


@dataclass
class Trained:
    """A finished rehearsal, and the judge that the documentation gives its result to."""

    data_format: str
    system: SystemTurn
    config: Row
    model: Path
    out: Path
    pairs: Sequence[Preference]

    def __post_init__(self) -> None:
        has_adapter = bool(self.config.get("adapter"))
        places = (self.model, self.out) if has_adapter else (self.out, None)
        self.judge = self._judge(*places)
        from transformers import AutoTokenizer

        self.tokenizer: Any = AutoTokenizer.from_pretrained(str(self.out))

    def _judge(self, base: Path, adapter: Path | None) -> Any:
        if self.data_format == "pairwise":
            return PairwiseJudge(base, adapter, system=self.system)
        if self.data_format == "pairwise_cot":
            return Reasoner(base, adapter, self.system)
        if self.data_format == "reward":
            return RewardJudge(base, adapter, system=self.system)
        if self.data_format == "process":
            return ProcessJudge(base, adapter)
        if method_of(self.config) not in WITH_REFERENCE:
            return LikelihoodJudge(base, adapter, "mean", system=self.system)
        reference = None if adapter else self.model
        return LikelihoodJudge(
            base, adapter, "implicit_sum", reference=reference, system=self.system
        )

    def asked(self) -> Iterator[Asked]:
        """What the judge asks about the pairs."""
        for pair in self.pairs:
            if self.data_format.startswith("pairwise"):
                both = Comparison(pair.instruction, pair.chosen, pair.rejected)
                yield self._letter(pair, both, "A")
                yield self._letter(pair, both.swap(), "B")
                continue
            for code, is_good in ((pair.chosen, True), (pair.rejected, False)):
                text = Text(pair.instruction, "", code)
                if self.data_format == "reward":
                    ids = self.judge.conversation_ids(text)
                    yield Asked(ids, [len(ids) - 1], "", is_good)
                elif self.data_format == "process":
                    ids, places = self.judge.line_ids(*text)
                    yield Asked(ids, places, "", is_good)
                else:
                    ids, places = _joined(*self.judge.answer_ids(text))
                    yield Asked(ids, places, solution_text(code), is_good)

    def _letter(self, pair: Preference, comparison: Comparison, letter: str) -> Asked:
        if self.data_format == "pairwise_cot":
            answer = _reasons(pair, letter)
            ids, places = _joined(*self.judge.answer_ids(comparison, answer))
            return Asked(ids, places, answer)
        prompt, labels = self.judge.question_ids(comparison)
        messages = comparison_messages(comparison, system=self.system)
        tokens = ChatTokens(self.tokenizer)
        behind = tokens.ids("".join(tokens.texts(messages, letter)))[len(prompt) + 1 :]
        ids, places = _joined(prompt, [labels[LABELS.index(letter)], *behind])
        return Asked(ids, places, letter)

    def value_problems(self, end: Row) -> Iterator[str]:
        """What the judge's model gives for the trainer's last batch, where it is another."""
        scorer: SequenceScorer = self.judge.scorer
        for one, wanted in zip(end["sequences"], end["values"], strict=True):
            first = one["trained"].index(1)
            if self.data_format == "reward":
                found = _known(scorer.last_logits([one["ids"]])[0])[0]
            else:
                last = len(one["ids"]) - one["trained"][::-1].index(1)
                [score] = scorer.completion_logprobs([(one["ids"][:first], one["ids"][first:last])])
                found = _known(score).total
            if not abs(found - wanted) <= _VALUE_TOLERANCE * max(1.0, abs(wanted)):
                yield f"judge: its model gives {found:.4f} where the trained one gave {wanted:.4f}"
                return

    def judge_problems(self) -> Iterator[str]:
        """The judge is right about the pairs, and likes the trained answers more than before."""
        if isinstance(self.judge, Reasoner):
            before = Reasoner(self.model, None, self.system).likelihood(self.pairs)
            after = self.judge.likelihood(self.pairs)
        else:
            comparisons = [
                Comparison(one.instruction, one.chosen, one.rejected) for one in self.pairs
            ]
            verdicts = asyncio.run(in_both_orders(self.judge).compare(comparisons))
            right = fmean(verdict.choice == "A" for verdict in verdicts)
            if right < 0.75:
                yield f"judge: right about {right:.0%} of the pairs it was trained on"
            if self.data_format != "sft":
                return
            before = _chosen_score(LikelihoodJudge(self.model, system=self.system), comparisons)
            after = _chosen_score(self.judge, comparisons)
        if not after > before + log(2):
            yield f"judge: the answers have {after:.2f} nats a token, had {before:.2f}"


def _joined(prompt: list[int], answer: list[int]) -> tuple[list[int], list[int]]:
    return [*prompt, *answer], list(range(len(prompt), len(prompt) + len(answer)))


def _chosen_score(judge: LikelihoodJudge, comparisons: Sequence[Comparison]) -> float:
    verdicts = asyncio.run(judge.compare(comparisons))
    return fmean(json.loads(verdict.raw)["score_a"] for verdict in verdicts)


def token_problems(batches: Sequence[Row], trained: Trained) -> Iterator[str]:
    """The first sequence of the trainer's batches that is not exactly what the judge asks."""
    asked = {tuple(one.ids): one for one in trained.asked()}
    seen = {tuple(one["ids"]): one for batch in batches for one in batch["sequences"]}
    for one in seen.values():
        problem = _sequence_problem(one, asked, trained.tokenizer)
        if problem:
            yield f"tokens: {problem}"
            return


def _sequence_problem(one: Row, asked: Mapping[tuple[int, ...], Asked], tokenizer: Any) -> str:
    places = [at for at, is_trained in enumerate(one["trained"]) if is_trained]
    # Behind the last trained token, a template may write a line end.
    ids = tuple(one["ids"][: places[-1] + 1] if places else one["ids"])
    answer = [ids[at] for at in places]
    if is_begun_twice(ids, tokenizer):
        return f"not one beginning of text: {tokenizer.decode(ids[:3])!r}"
    if ids not in asked:
        near = max(asked, key=lambda other: _n_shared(ids, other))
        window = slice(max(0, _n_shared(ids, near) - 6), _n_shared(ids, near) + 8)
        trained, wanted = tokenizer.decode(ids[window]), tokenizer.decode(near[window])
        return f"trained on {trained!r}, and the judge asks {wanted!r}"
    meant = asked[ids]
    if places != meant.places:
        wanted = tokenizer.decode([ids[at] for at in meant.places])
        return f"trained on {tokenizer.decode(answer)!r}, meant {wanted!r}"
    right = [1] * (len(places) - 1) + [int(meant.is_good)]
    if one["label"] is not None and one["label"] not in (meant.is_good, right):
        return f"{tokenizer.decode(ids)!r} has the label {one['label']}"
    if not meant.text:
        return ""
    if answer.count(tokenizer.eos_token_id) != 1 or answer[-1] != tokenizer.eos_token_id:
        return f"not one end of text: {tokenizer.decode(answer[-4:])!r}"
    written = tokenizer.decode(answer[:-1]).strip()
    return "" if written == meant.text else f"trained on {written!r}, meant {meant.text!r}"


def _n_shared(left: Sequence[int], right: Sequence[int]) -> int:
    pairs = zip(left, right, strict=False)
    return next(
        (at for at, (one, other) in enumerate(pairs) if one != other), min(len(left), len(right))
    )
