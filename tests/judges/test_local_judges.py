"""Local judges give what a slow and simple reading of the model gives."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any, get_args

import pytest

import codefavor
from codefavor.errors import BackendError, ConfigError, DataError
from codefavor.judges.base import in_both_orders
from codefavor.judges.likelihood import LikelihoodJudge, Reduction, verdict_of_totals
from codefavor.judges.pairwise import PairwiseJudge
from codefavor.judges.process import ProcessJudge
from codefavor.judges.reward import RewardJudge
from codefavor.prompts.chat import comparison_messages, solution_messages, solution_text
from codefavor.records import Comparison

from .conftest import make_model, make_tokenizer, tiny_config

torch = pytest.importorskip("torch")

COMPARISONS = [
    Comparison(
        "Add a and b.", "def add(a, b):\n    return a + b", "def add(a, b):\n    return a - b"
    ),
    Comparison(
        "Add a and b.", "def add(a, b):\n    return a + b", "def add(a, b):\n    pass", "Fast."
    ),
    Comparison("Negate x.", "def neg(x):\n    return -x", "neg = lambda x: -x" * 9),
]


def slow_logprob(model: Any, comparison: Comparison, code: str) -> tuple[float, int]:
    """Full logits of one text at a time; the text is written out by hand from the template."""
    tokenizer = make_tokenizer()
    criteria = f"\n\nCriteria: {comparison.criteria}" if comparison.criteria else ""
    prompt = (
        "<|im_start|>system\n<|im_end|>\n"
        f"<|im_start|>user\n{comparison.instruction}{criteria}<|im_end|>\n<|im_start|>assistant\n"
    )
    assert solution_messages(comparison.instruction, comparison.criteria)[0]["content"] == ""
    before = tokenizer(prompt)["input_ids"]
    after = tokenizer(f"```python\n{code}\n```<|im_end|>")["input_ids"]
    with torch.inference_mode():
        logits = model(torch.tensor([before + after])).logits[0].double()
    logprobs = logits.log_softmax(-1)
    steps = range(len(after))
    return sum(logprobs[len(before) - 1 + i, after[i]].item() for i in steps), len(after)


def load(folder: Path, adapter: Path | None = None) -> Any:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return PeftModel.from_pretrained(model, adapter).eval() if adapter else model


def scores_of(raw: str) -> tuple[float, float]:
    values = json.loads(raw)
    return values["score_a"], values["score_b"]


@pytest.mark.parametrize("reduction", ["sum", "mean"])
async def test_likelihood_equals_one_text_at_a_time(tiny_llama, reduction):
    judge = LikelihoodJudge(tiny_llama, reduction=reduction, device="cpu")
    model = load(tiny_llama)
    verdicts = await judge.compare(COMPARISONS)
    for comparison, verdict in zip(COMPARISONS, verdicts, strict=True):
        for code, found in zip(
            (comparison.code_a, comparison.code_b), scores_of(verdict.raw), strict=True
        ):
            total, n_tokens = slow_logprob(model, comparison, code)
            expected = total / n_tokens if reduction == "mean" else total
            assert found == pytest.approx(expected, abs=2e-4)
        score_a, score_b = scores_of(verdict.raw)
        assert verdict.choice == ("A" if score_a > score_b else "B")
        assert verdict.p_a == pytest.approx(1 / (1 + math.exp(score_b - score_a)), abs=1e-5)


@pytest.mark.parametrize("reduction", ["implicit_sum", "implicit_mean"])
async def test_implicit_reward_is_policy_minus_reference(tiny_llama, tiny_adapter, reduction):
    judge = LikelihoodJudge(tiny_llama, tiny_adapter, reduction, device="cpu")
    policy, reference = load(tiny_llama, tiny_adapter), load(tiny_llama)
    comparison = COMPARISONS[0]
    (verdict,) = await judge.compare([comparison])
    for code, found in zip(
        (comparison.code_a, comparison.code_b), scores_of(verdict.raw), strict=True
    ):
        total, n_tokens = slow_logprob(policy, comparison, code)
        difference = total - slow_logprob(reference, comparison, code)[0]
        assert abs(difference) > 1e-2, "the adapter must matter, or the test shows nothing"
        expected = difference / n_tokens if reduction == "implicit_mean" else difference
        assert found == pytest.approx(expected, abs=5e-4)


async def test_a_separate_reference_model_gives_the_same_implicit_reward(tiny_llama, tiny_adapter):
    by_adapter = LikelihoodJudge(tiny_llama, tiny_adapter, "implicit_sum", device="cpu")
    by_model = LikelihoodJudge(
        tiny_llama, tiny_adapter, "implicit_sum", reference=tiny_llama, device="cpu"
    )
    first, second = await by_adapter.compare(COMPARISONS), await by_model.compare(COMPARISONS)
    for one, other in zip(first, second, strict=True):
        assert scores_of(one.raw) == pytest.approx(scores_of(other.raw), abs=1e-4)


def test_implicit_reward_without_a_reference_is_refused(tiny_llama):
    with pytest.raises(ConfigError, match="reference"):
        LikelihoodJudge(tiny_llama, reduction="implicit_sum", device="cpu")


def test_an_unknown_reduction_lists_the_known_ones(tiny_llama):
    with pytest.raises(ConfigError, match="implicit_mean"):
        LikelihoodJudge(tiny_llama, reduction="average")  # type: ignore[arg-type]


async def test_likelihood_has_no_position_bias_and_scores_each_text_once(tiny_llama):
    judge = LikelihoodJudge(tiny_llama, device="cpu")
    verdicts = await judge.compare(COMPARISONS)
    n_computed = judge.scorer.n_computed_tokens
    swapped = await judge.compare([comparison.swap() for comparison in COMPARISONS])
    assert judge.scorer.n_computed_tokens == n_computed
    for verdict, other in zip(verdicts, swapped, strict=True):
        assert other.choice == verdict.swap().choice
        assert other.p_a == pytest.approx(1 - verdict.p_a)


async def test_texts_that_begin_alike_share_their_beginning(tiny_llama):
    judge = LikelihoodJudge(tiny_llama, device="cpu")
    pair = COMPARISONS[0]
    await judge.compare([pair])
    tokenizer = make_tokenizer()
    prompt = tokenizer.apply_chat_template(
        solution_messages(pair.instruction), tokenize=False, add_generation_prompt=True
    )
    whole = [
        len(tokenizer(prompt + solution_text(code) + "<|im_end|>")["input_ids"])
        for code in (pair.code_a, pair.code_b)
    ]
    # The two codes differ in one character near their end.
    assert judge.scorer.n_computed_tokens < 0.6 * sum(whole)


@pytest.mark.parametrize("reduction", get_args(Reduction))
async def test_stored_scores_read_by_another_reduction_give_its_verdicts(
    tiny_llama, tiny_adapter, reduction
):
    judge = LikelihoodJudge(tiny_llama, tiny_adapter, "implicit_sum", device="cpu")
    stored = await judge.compare(COMPARISONS)
    other = LikelihoodJudge(tiny_llama, tiny_adapter, reduction, device="cpu")
    asked = await other.compare(COMPARISONS)
    for one, other in zip(stored, asked, strict=True):
        read = verdict_of_totals(json.loads(one.raw), reduction)
        assert (read.choice, read.p_a) == (other.choice, other.p_a)
        assert scores_of(read.raw) == scores_of(other.raw)


def test_an_implicit_reduction_of_scores_without_reference_is_refused():
    parts = {"total_a": -3.0, "n_tokens_a": 3, "total_b": -8.0, "n_tokens_b": 4}
    assert verdict_of_totals(parts, "mean").p_a == pytest.approx(1 / (1 + math.exp(-1.0)))
    with pytest.raises(DataError, match="reference"):
        verdict_of_totals(parts, "implicit_mean")


async def test_an_adapter_is_asked_with_the_chat_template_it_was_trained_with(
    tiny_llama, tiny_adapter, tmp_path
):
    own = shutil.copytree(tiny_adapter, tmp_path / "own")
    tokenizer = make_tokenizer()
    tokenizer.chat_template = tokenizer.chat_template.replace("['role']", "['role'] + 's'")
    tokenizer.save_pretrained(own)
    totals = []
    for adapter in (tiny_adapter, own):
        judge = LikelihoodJudge(tiny_llama, adapter, device="cpu")
        totals.append(json.loads((await judge.compare(COMPARISONS[:1]))[0].raw)["total_a"])
    assert totals[0] != totals[1]


async def test_equal_codes_tie(tiny_llama):
    code = COMPARISONS[0].code_a
    (verdict,) = await LikelihoodJudge(tiny_llama, device="cpu").compare(
        [Comparison("Add.", code, code)]
    )
    assert (verdict.choice, verdict.p_a) == ("tie", 0.5)


async def test_a_text_too_long_fails_alone(tiny_llama):
    judge = LikelihoodJudge(tiny_llama, device="cpu")
    long = Comparison("Add.", "x = 1\n" * 2000, "x = 2")
    with pytest.raises(BackendError, match="2048") as caught:
        await judge.compare([COMPARISONS[0], long])
    assert caught.value.reason == "too_long"
    assert (await judge.compare([COMPARISONS[0]]))[0].choice in ("A", "B")


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("MistralConfig", {"sliding_window": 16}),
        ("Gemma2Config", {"sliding_window": 16, "final_logit_softcapping": 5.0}),
        ("Qwen2Config", {}),
    ],
    ids=["sliding window", "soft cap", "qwen2"],
)
async def test_other_architectures_are_scored_as_they_are(tmp_path, kind, options):
    folder = make_model(tmp_path, tiny_config(kind, **options))
    judge = LikelihoodJudge(folder, reduction="sum", device="cpu")
    model = load(folder)
    verdicts = await judge.compare(COMPARISONS)
    for comparison, verdict in zip(COMPARISONS, verdicts, strict=True):
        expected = slow_logprob(model, comparison, comparison.code_a)[0]
        assert scores_of(verdict.raw)[0] == pytest.approx(expected, abs=1e-3)


async def test_pairwise_reads_the_labels_logits_after_the_prompt(tiny_llama):
    judge = PairwiseJudge(tiny_llama, device="cpu")
    tokenizer, model = make_tokenizer(), load(tiny_llama)
    label_a, label_b = (tokenizer(label)["input_ids"] for label in "AB")
    both = [*COMPARISONS, *(comparison.swap() for comparison in COMPARISONS)]
    for comparison, verdict in zip(both, await judge.compare(both), strict=True):
        ids = tokenizer.apply_chat_template(
            comparison_messages(comparison), add_generation_prompt=True, return_dict=False
        )
        with torch.inference_mode():
            logits = model(torch.tensor([ids])).logits[0, -1]
        margin = (logits[label_a[0]] - logits[label_b[0]]).item()
        assert verdict.choice == ("A" if margin > 0 else "B")
        assert verdict.p_a == pytest.approx(1 / (1 + math.exp(-margin)), abs=1e-4)


async def test_both_orders_turn_a_biased_judge_into_ties(tiny_llama):
    judge = PairwiseJudge(tiny_llama, device="cpu")
    verdicts = await in_both_orders(judge).compare(COMPARISONS)
    first = await judge.compare(COMPARISONS)
    second = await judge.compare([comparison.swap() for comparison in COMPARISONS])
    for merged, one, other in zip(verdicts, first, second, strict=True):
        same = one.choice == other.swap().choice
        assert merged.choice == (one.choice if same else "tie")
        assert merged.p_a == pytest.approx((one.p_a + 1 - other.p_a) / 2)


def test_a_label_of_two_tokens_is_refused(tiny_llama, monkeypatch):
    monkeypatch.setattr("codefavor.judges.pairwise.LABELS", ("A", "BB"))
    with pytest.raises(ConfigError, match="not a single token"):
        PairwiseJudge(tiny_llama, device="cpu")


async def test_scalar_reward_is_the_models_output_for_the_whole_conversation(tmp_path):
    kind = "AutoModelForSequenceClassification"
    folder = make_model(tmp_path, tiny_config(num_labels=1), kind)
    judge = RewardJudge(folder, device="cpu")
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = make_tokenizer()
    for comparison, verdict in zip(COMPARISONS, await judge.compare(COMPARISONS), strict=True):
        rewards = []
        for code in (comparison.code_a, comparison.code_b):
            messages = [
                *solution_messages(comparison.instruction, comparison.criteria),
                {"role": "assistant", "content": solution_text(code)},
            ]
            ids = tokenizer.apply_chat_template(messages, return_dict=False)
            with torch.inference_mode():
                rewards.append(model(torch.tensor([ids])).logits[0, 0].item())
        found = json.loads(verdict.raw)
        assert [found["reward_a"], found["reward_b"]] == pytest.approx(rewards, abs=1e-4)


def test_a_model_without_a_reward_head_is_refused(tiny_llama):
    with pytest.raises(ConfigError, match="no reward head"):
        RewardJudge(tiny_llama, device="cpu")


def test_a_tokenizer_without_a_template_is_refused(tmp_path):
    folder = make_model(tmp_path, tiny_config())
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    with pytest.raises(ConfigError, match="chat template"):
        LikelihoodJudge(folder, device="cpu")


@pytest.mark.parametrize(
    ("pooling", "pool"),
    [("mean", lambda lines: math.prod(lines) ** (1 / len(lines))), ("product", math.prod)],
)
async def test_a_process_reward_is_read_at_the_end_of_every_line(pooling, pool, tmp_path):
    from transformers import AutoModelForTokenClassification

    kind = "AutoModelForTokenClassification"
    folder = make_model(tmp_path, tiny_config(num_labels=2), kind)
    model = AutoModelForTokenClassification.from_pretrained(folder).eval()
    tokenizer = make_tokenizer()
    bos = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    verdicts = await ProcessJudge(folder, pooling=pooling, device="cpu").compare(COMPARISONS)
    for comparison, verdict in zip(COMPARISONS, verdicts, strict=True):
        scores = []
        for side, code in (("lines_a", comparison.code_a), ("lines_b", comparison.code_b)):
            text = solution_messages(comparison.instruction, comparison.criteria, system="none")
            ids = [*bos, *tokenizer(text[0]["content"] + "\n", add_special_tokens=False).input_ids]
            expected = []
            for line in code.splitlines():
                ids += tokenizer(line, add_special_tokens=False).input_ids
                ids += tokenizer("\n", add_special_tokens=False).input_ids
                with torch.inference_mode():
                    logits = model(torch.tensor([ids])).logits[0, -1]
                expected.append(logits.softmax(-1)[1].item())
            assert json.loads(verdict.raw)[side] == pytest.approx(expected, abs=1e-4)
            scores.append(pool(expected))
        assert verdict.choice == ("A" if scores[0] > scores[1] else "B")


def test_a_model_without_heads_for_lines_is_refused(tiny_llama):
    with pytest.raises(ConfigError, match="no reward head"):
        ProcessJudge(tiny_llama, device="cpu")


async def test_a_program_without_a_line_is_an_error_and_no_verdict(tmp_path):
    folder = make_model(tmp_path, tiny_config(num_labels=2), "AutoModelForTokenClassification")
    judge = ProcessJudge(folder, device="cpu")
    empty = Comparison(instruction="i", code_a="\n\n", code_b="b")
    with pytest.raises(BackendError, match="no code to score"):
        await judge.compare([empty])


async def test_the_python_door_compares_inside_a_running_event_loop(tiny_llama):
    pair = Comparison("Add one.", "x + 1", "x - 1 + 2")
    with codefavor.load_judge(f"likelihood:{tiny_llama}", reduction="sum", device="cpu") as judge:
        found = judge.compare([pair, pair.swap()])
    plain = LikelihoodJudge(tiny_llama, reduction="sum", device="cpu")
    assert found == await plain.compare([pair, pair.swap()])
