"""A rehearsal finds what trains the wrong thing, and passes what trains the right one."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from codefavor.records import Row
from codefavor.training.recipes import dump, load_yaml
from codefavor.training.rehearsal import Rehearser, data_of
from codefavor.training.rehearsal_checks import adapter_problems, loss_problems, practice_pairs
from codefavor.training.rehearsal_grpo import (
    convert_as_documented,
    practice_problems,
    questions_of,
    sample_problems,
)
from tests.training.templates import SYSTEMLESS

ROOT = Path(__file__).resolve().parents[2] / "recipes"
PROBLEMS = practice_problems(practice_pairs())
pytestmark = pytest.mark.axolotl


def batches(*losses: float, expected: tuple[float, ...] | None = None) -> list[Row]:
    wanted = expected or losses
    return [
        {"step": step, "loss": loss, "expected": wanted[step]} for step, loss in enumerate(losses)
    ]


def test_a_loss_that_is_another_one_is_named_with_its_step():
    [problem] = loss_problems(batches(0.7, 0.6, 0.5, expected=(0.7, 0.6, 0.51)))
    assert problem == "loss: 0.500000 at step 2, by its formula 0.510000"
    assert list(loss_problems(batches(0.7, 0.6, 0.5, 0.4, 0.3))) == []
    assert list(loss_problems(batches(0.7, float("nan"), expected=(0.7, 0.6))))


def test_a_loss_that_does_not_fall_is_named():
    assert list(loss_problems(batches(*[0.5] * 8))) == ["loss: it does not fall"]


WPO: Row = {"dpo_use_weighting": True}


class Table(torch.nn.Module):
    """A model of four words whose next word follows from the last one alone."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        weights = torch.randn(4, 4, generator=torch.Generator().manual_seed(seed))
        self.weights = torch.nn.Parameter(weights.double())

    def forward(self, input_ids: torch.Tensor, **others: Any) -> Any:
        return SimpleNamespace(logits=self.weights[input_ids])


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("dpo", {"dpo_use_weighting": True}),
        ("dpo", {}),
        ("ipo", {}),
        ("ipo", {"dpo_use_weighting": True}),
    ],
)
def test_the_reference_loss_of_pairs_is_the_papers(method: str, settings: Row):
    """WPO (Zhou et al. 2024, eq. 2) weighs a pair by what the policy itself would write."""
    from codefavor.training.rehearsal_probe import Batch, Probe

    ids = torch.tensor([[0, 1, 2, 3], [0, 3, 1, 1], [0, 2, 2, 1], [0, 1, 3, 0]])
    trained = torch.tensor([[0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1], [0, 1, 1, 0]]).bool()
    batch = Batch(ids, torch.ones_like(ids).bool(), trained)
    probe: Any = Probe.__new__(Probe)
    probe.model, probe.reference = Table(0), Table(1)
    probe.config, probe.method = {"rl_beta": 0.3, **settings}, method
    policy = probe._logps(batch)

    def step(model: Table, row: int, place: int) -> tuple[float, float]:
        """The log-probability of a token, and of two draws that are the same."""
        exps = [math.exp(one) for one in model.weights[int(ids[row, place - 1])].tolist()]
        shares = [one / sum(exps) for one in exps]
        return math.log(shares[int(ids[row, place])]), math.log(sum(p * p for p in shares))

    losses = []
    for pair in range(2):
        ratio, weight = [], 1.0
        for row in (pair, pair + 2):
            places = [at for at in range(4) if trained[row, at]]
            own = [step(probe.model, row, at) for at in places]
            other = sum(step(probe.reference, row, at)[0] for at in places)
            total = sum(logp for logp, _ in own) - other
            ratio.append(total / len(places) if method == "ipo" else total)
            weight *= math.exp(sum(logp - twice for logp, twice in own) / len(places))
        margin = ratio[0] - ratio[1]
        loss = (margin - 1 / 0.6) ** 2 if method == "ipo" else math.log1p(math.exp(-0.3 * margin))
        losses.append(loss * (weight if settings else 1.0))
    assert float(probe._pairs(policy, batch)) == pytest.approx(sum(losses) / 2, rel=1e-9)


class Mixture(Table):
    """A model with two layers of two experts, of which it asks one for a token."""

    SHARES = (((0.75, 0.25), (0.25, 0.75), (0.1, 0.9)), ((0.75, 0.25), (0.75, 0.25), (0.1, 0.9)))

    def __init__(self) -> None:
        super().__init__(0)
        words = SimpleNamespace(output_router_logits=False, num_experts_per_tok=1)
        self.config: Any = SimpleNamespace(get_text_config=lambda: words)

    def forward(self, input_ids: torch.Tensor, **others: Any) -> Any:
        routed = tuple(torch.tensor(layer).double().log() for layer in self.SHARES)
        return SimpleNamespace(logits=self.weights[input_ids], router_logits=routed)


def test_the_loss_of_grpo_has_the_routers_share_of_a_mixture():
    """TRL adds 0.001 of what Fedus et al. 2021 call the auxiliary loss; padding asks no expert."""
    from codefavor.training.rehearsal_probe import Batch, Probe, Samples

    ids = torch.tensor([[0, 1, 2]])
    is_read = torch.tensor([[True, True, False]])
    probe: Any = Probe.__new__(Probe)
    probe.model = probe.reference = Mixture()
    probe.config, probe.method = {"trl": {}}, "grpo"
    found = probe._grpo(Batch(ids, is_read, is_read), {Samples.KEY: torch.zeros(1, 2)})
    # Of four choices three are the first expert, whose mean probability is 2.5 / 4.
    expected = 0.001 * 2 * (0.75 * 0.625 + 0.25 * 0.375)
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_a_loss_without_a_formula_is_said_not_to_be_checked(tmp_path: Path):
    recipe = tmp_path / "recipes" / "x" / "hinge.yaml"
    recipe.parent.mkdir(parents=True)
    config = load_yaml(ROOT / "smollm2-135m" / "dpo.yaml") | {"dpo_loss_type": ["hinge"]}
    recipe.write_text(dump(config))
    [problem] = Rehearser(ROOT, tmp_path).rehearse(recipe).problems
    assert problem.startswith(
        "loss: not checked: there is no reference formula for dpo_loss_type h"
    )


QUESTIONS = {"rehearse/total": [1, 2], "rehearse/square": [3, 4]}  # of the splits train and dev
EOS = 9


def pays_length(completions: list[str], **columns: Any) -> list[float]:
    """A reward function, named in the recipes of these tests."""
    assert set(columns) == {"tests", "entry_point", "setup", "reference", "instruction"}
    return [float(len(text)) for text in completions]


def finished() -> SimpleNamespace:
    """A rehearsal of GRPO whose judge asks by the numbers of QUESTIONS."""
    by_instruction = {one.instruction: QUESTIONS.get(one.id, [0]) for one in PROBLEMS}
    judge = SimpleNamespace(answer_ids=lambda text: (by_instruction[text.instruction], [EOS]))

    def decode(ids: Any, **options: Any) -> str:
        return "x" * len([one for one in ids if one != EOS])

    tokenizer = SimpleNamespace(decode=decode, eos_token_id=EOS, chat_template=None)
    rewards = {"trl": {"reward_funcs": [f"{__name__}.pays_length"]}}
    tokenizer.bos_token_id = tokenizer.pad_token_id = None
    return SimpleNamespace(judge=judge, tokenizer=tokenizer, config=rewards, pairs=practice_pairs())


def sample(question: str, answer: list[int], paid: float) -> Row:
    prompt = QUESTIONS.get(question, [7, 7])
    ids = [*prompt, *answer]
    trained = [0] * len(prompt) + [1] * len(answer)
    return {"ids": ids, "trained": trained, "label": [paid]}


GOOD, BAD = sample("rehearse/total", [5, 5, EOS], 2.0), sample("rehearse/total", [5, EOS], 1.0)


@pytest.mark.parametrize(
    ("rows", "gain", "problem"),
    [
        ([GOOD, BAD], 1.0, ""),
        ([GOOD, BAD], -1.0, "samples: the better ones became less likely"),
        ([GOOD, GOOD], 0.0, "rewards: every sample has the same"),
        ([GOOD, sample("rehearse/square", [5, EOS], 1.0)], 1.0, "which is of the split dev"),
        ([GOOD, sample("unknown", [5, EOS], 1.0)], 1.0, "the judge asks nothing like it"),
        ([GOOD, sample("rehearse/total", [5, EOS], 3.0)], 1.0, "rewards: pays_length gave 3.0"),
        ([GOOD, sample("rehearse/total", [5, EOS, 5], 2.0)], 1.0, "not one whole sample"),
        ([GOOD, sample("rehearse/total", [5, 5, 5], 3.0)], 1.0, "ends before its end"),
    ],
)
def test_what_is_asked_sampled_and_paid_is_checked(rows: list[Row], gain: float, problem: str):
    found = list(sample_problems([{"sequences": rows}], {"gain": gain}, finished()))
    assert len(found) == bool(problem)
    assert problem in "".join(found)


@pytest.mark.parametrize("before", [[EOS, EOS], [8, EOS], [EOS, 8], [EOS]])
def test_two_ends_before_a_text_are_found_though_the_judge_asks_them_too(before: list[int]):
    trained = finished()
    trained.tokenizer.bos_token_id = 8
    ask = trained.judge.answer_ids
    trained.judge.answer_ids = lambda text: ([*before, *ask(text)[0]], [EOS])
    asked = [
        {**one, "ids": [*before, *one["ids"]], "trained": [0] * len(before) + one["trained"]}
        for one in (GOOD, BAD)
    ]
    found = list(sample_problems([{"sequences": asked}], {"gain": 1.0}, trained))
    assert ["not one beginning of text" in one for one in found] == [True] * (len(before) - 1)


def test_a_recipe_that_is_paid_for_tests_asks_for_them():
    paid = {"trl": {"reward_funcs": ["codefavor.training.rewards.test_quality"]}}
    for question, problem in zip(questions_of(practice_pairs(), paid), PROBLEMS, strict=True):
        assert "test suite" in question.text and problem.reference.splitlines()[-1] in question.text
        name, check = problem.entry_point, problem.tests.splitlines()[0]
        assert question.code.splitlines()[0] == f"from solution import {name}"
        assert question.code.endswith(f"def test_it():\n    {check}")
        assert question.stub.endswith("def test_it():\n    pass")
    assert [one.code for one in questions_of(practice_pairs(), finished().config)] == [
        one.chosen for one in practice_pairs()
    ]


def test_the_practice_problems_are_of_all_splits_and_their_references_pass_their_tests():
    from codefavor.pairs.split import split_of
    from codefavor.training.rewards import passes_tests

    assert {split_of(one.id) for one in PROBLEMS} == {"train", "dev", "test"}
    columns = {
        name: [getattr(one, name) for one in PROBLEMS] for name in ("tests", "entry_point", "setup")
    }
    assert passes_tests([one.reference for one in PROBLEMS], **columns) == [1.0] * len(PROBLEMS)


def test_the_rows_of_grpo_are_made_by_the_command_of_the_header(tmp_path: Path):
    data = tmp_path / "data.jsonl"
    convert_as_documented(ROOT / "gpu1x80" / "qwen3-4b-grpo.yaml", PROBLEMS, data)
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    assert {row["entry_point"] for row in rows} == {"total", "largest", "count", "backwards"}
    assert [len(row["prompt"]) for row in rows] == [1] * len(rows)  # no system turn


LAYER = "model.layers.0.self_attn.q_proj"


@pytest.mark.parametrize(
    ("adapted", "bare", "config", "problems"),
    [
        ([LAYER], ["lm_head", "model.layers.0.mlp.gate", "model.vision.layers.0.q_proj"], {}, []),
        ([LAYER], ["model.layers.1.self_attn.q_proj"], {"peft_layers_to_transform": [0]}, []),
        ([LAYER], ["model.layers.0.mlp.up_proj"], {"lora_target_modules": ["q_proj"]}, []),
        ([LAYER], ["model.layers.0.mlp.experts.up"], {}, ["layers.0.mlp.experts.up is not"]),
        (["model.vision_tower.layers.0.q_proj"], [], {}, ["is no layer of the language model"]),
    ],
    ids=["whole", "some layers", "some modules", "experts missed", "vision"],
)
def test_an_adapter_on_other_modules_than_meant_is_named(adapted, bare, config, problems):
    model = {"model": "M", "trained": [], "adapted": adapted, "bare": bare}
    found = list(adapter_problems(model, {"adapter": "lora", **config}))
    assert len(found) == len(problems)
    assert all(part in one for part, one in zip(problems, found, strict=True))


def test_a_reward_model_without_a_head_is_named():
    model: Row = {"model": "LlamaForCausalLM", "trained": ["lora_A"], "adapted": [], "bare": []}
    assert list(adapter_problems(model, {"reward_model": True})) == [
        "adapter: LlamaForCausalLM trains no head"
    ]


def test_recipes_that_differ_in_size_and_hardware_have_one_rehearsal(tmp_path: Path):
    rehearser = Rehearser(ROOT, tmp_path)
    seven, many, other, full = (
        rehearser.digest(ROOT / f"{name}.yaml")
        for name in (
            "gpu1x24/qwen2.5-coder-14b-pairwise",
            "gpu1x80/qwen2.5-coder-32b-pairwise",
            "gpu1x80/qwen3-8b-pairwise",
            "paper/mistral-7b-commit-cls",
        )
    )
    assert seven == many
    assert len({seven, other, full}) == 3


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [("gpu1x80/gpt-oss-20b-pairwise", "eager"), ("gpu1x80/qwen3-8b-pairwise", "sdpa")],
)
def test_a_stand_in_has_the_attention_that_its_class_takes(recipe, expected, tmp_path: Path):
    config = {**load_yaml(ROOT / f"{recipe}.yaml"), "attn_implementation": "flash_attention_2"}
    changed = Rehearser(ROOT, tmp_path).config(config, Path("model"), Path("rows.jsonl"))
    assert changed["attn_implementation"] == expected


def test_the_header_says_which_rows_a_recipe_reads():
    data_format, options = data_of(ROOT / "seeds" / "llama-3.2-3b-dpop-paper.yaml")
    assert (data_format, options.system) == ("dpo", "none")
    for name, system in (("gpu1x80/qwen3-8b-reward", "none"), ("smollm2-135m/reward", "empty")):
        data_format, options = data_of(ROOT / f"{name}.yaml")
        assert (data_format, options.system) == ("reward", system)
        text = (ROOT / f"{name}.yaml").read_text(encoding="utf-8")
        assert ("so the judge is asked without one too: --system none" in text) == (
            system == "none"
        )


def test_a_recipe_is_rehearsed_again_when_a_setting_or_a_version_changed():
    from codefavor.cli.rehearse import is_changed, is_new
    from codefavor.training.matrix import read_matrix
    from codefavor.training.recipe_table import with_entry
    from codefavor.training.recipes import build
    from codefavor.training.rehearsal import versions_text

    name = "smollm2-135m/dpo"
    recipe = build(read_matrix(ROOT)[name], ROOT)
    text = f"2026-11-29, {versions_text()}, template x"
    for digest, found, new, is_other in (
        (recipe.digest, text, False, False),
        (recipe.digest, "2026-11-29, axolotl 0.1, trl 0.1", True, False),
        ("000000000000", text, True, True),
        ("000000000000", "", True, False),  # it failed
    ):
        results = with_entry({}, name, "rehearsal", digest, found)
        assert (is_new(results)(recipe), is_changed(results)(recipe)) == (new, is_other)
    assert (is_new({})(recipe), is_changed({})(recipe)) == (True, False)


def changed(recipe: str, root: Path, **settings: Any) -> Path:
    """A recipe of the copied folder with other settings."""
    path = root / f"{recipe}.yaml"
    head = [line for line in path.read_text().splitlines() if line.startswith("#")]
    path.write_text("\n".join(head) + "\n" + dump({**load_yaml(path), **settings}))
    return path


def begun_twice(recipe: str) -> Row:
    """A recipe's template with two ends of text before the text, of which the judge's is made."""
    template = load_yaml(ROOT / f"{recipe}.yaml")["chat_template_jinja"]
    return {"chat_template_jinja": f"{{{{ '<|im_end|><|im_end|>' }}}}{template}"}


TWO_ENDS = ": not one beginning of text: '<|im_end|><|im_end|><|im_start|>'"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "settings", "problems"),
    [
        ("gpu1x80/qwen3-8b-pairwise", {}, []),
        ("smollm2-135m/dpo-conservative", {}, []),
        ("smollm2-135m/grpo", {}, []),
        # What these recipes were before anybody rehearsed them.
        (
            "smollm2-135m/dpo-conservative",
            {"dpo_loss_type": ["sigmoid"], "dpo_loss_weights": [1.0]},
            ["loss: "],
        ),
        (
            "seeds/llama-3.2-3b-dpop-paper",
            {"datasets": [{"path": "x", "split": "train", "type": "chat_template.default"}]},
            ["tokens: not one beginning of text"],
        ),
        ("smollm2-135m/dpo", begun_twice("smollm2-135m/dpo"), [f"tokens{TWO_ENDS}"]),
        ("smollm2-135m/grpo", begun_twice("smollm2-135m/grpo"), [f"samples{TWO_ENDS}"]),
        # The trainer puts this before texts that do not begin with it; no reader of rows does.
        (
            "smollm2-135m/orpo",
            {"special_tokens": {"bos_token": "<|endoftext|>"}},
            ["tokens: trained on '<|endoftext|><|im_start|>"],
        ),
        # Axolotl takes it in place of the recipe's orpo_alpha.
        ("smollm2-135m/orpo", {"rl_beta": 0.3}, ["loss: "]),
        ("smollm2-135m/dpo", {"dpo_use_weighting": True}, []),
        ("smollm2-135m/dpo", {"chat_template_jinja": SYSTEMLESS}, ["template: it leaves out"]),
    ],
    ids=[
        "qwen3 judge",
        "cDPO",
        "GRPO",
        "cDPO that is DPO",
        "two beginnings of text",
        "two ends before the text",
        "two ends before a question of GRPO",
        "ORPO's own beginning of text",
        "ORPO with another weight than it says",
        "WPO",
        "a template without a system's turn",
    ],
)
def test_a_rehearsal_really_trains(recipe: str, settings: Row, problems: list[str], tmp_path: Path):
    import shutil

    root = tmp_path / "recipes"
    shutil.copytree(ROOT, root)
    found = Rehearser(root, tmp_path / "out").rehearse(changed(recipe, root, **settings))
    assert [one.startswith(start) for one, start in zip(found.problems, problems, strict=True)] == [
        True
    ] * len(problems), json.dumps(found.problems)
    assert "template" in found.text
