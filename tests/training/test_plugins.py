"""What our plugins do inside Axolotl's process, and the trainer against the slow reference."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.training.test_losses import BETA, random_batch

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
pytestmark = pytest.mark.axolotl
pytest.importorskip("axolotl")


def test_numbers_that_are_not_finite_are_named():
    from codefavor.training.plugins import finite_numbers

    row = finite_numbers({"loss": float("nan"), "a": "1.5", "text": "x", "b": float("inf")})
    assert row == {"loss": None, "a": 1.5, "b": None, "not_finite": ["loss", "b"]}
    json.dumps(row, allow_nan=False)


def test_metrics_are_written_by_the_main_process_alone(tmp_path: Path):
    from codefavor.training.plugins import MetricsCallback

    callback = MetricsCallback(tmp_path / "metrics.jsonl")
    for is_main in (True, False):
        state = SimpleNamespace(is_world_process_zero=is_main, global_step=3, max_steps=9)
        callback.on_log(None, state, None, logs={"loss": 0.5})
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(row["step"], row["max_steps"], row["loss"]) for row in rows] == [(3, 9, 0.5)]


def test_a_resumed_run_sums_up_what_the_whole_run_did(tmp_path: Path):
    """Its loss and TRL's tokens are those of a run without a stop, saved between logs."""
    import torch
    from transformers import Trainer, TrainingArguments

    from codefavor.training.plugins import RunPlugin

    class Line(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.slope = torch.nn.Parameter(torch.zeros(1))

        def forward(self, x, y):
            return {"loss": ((self.slope * x - y) ** 2).mean()}

    class Counting(Trainer):  # as TRL's trainers do
        _total_train_tokens = 0

        def compute_loss(self, *args, **kwargs):
            self._total_train_tokens += 10
            return super().compute_loss(*args, **kwargs)

        def log(self, logs, *args):
            counted = {"num_tokens": self._total_train_tokens} if "loss" in logs else {}
            super().log({**logs, **counted}, *args)

    def summary(name: str, **more):
        args = TrainingArguments(
            output_dir=str(tmp_path / name), max_steps=7, save_steps=3, logging_steps=2,
            per_device_train_batch_size=1, learning_rate=0.1, report_to="none", use_cpu=True,
            disable_tqdm=True, remove_unused_columns=False,
        )  # fmt: skip
        rows = [{"x": float(n), "y": 2.0 * n} for n in range(1, 8)]
        trainer = Counting(model=Line(), args=args, train_dataset=rows)
        cfg = SimpleNamespace(output_dir=str(tmp_path / name), rl="dpo", dev_accuracy=None)
        for one in RunPlugin().add_callbacks_post_trainer(cfg, trainer):
            trainer.add_callback(one)
        trainer.train(**more)
        logs = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        found = {key: value for line in logs for key, value in json.loads(line).items()}
        return found["train_loss"], found["num_tokens"]

    whole = summary("run")
    assert whole[1] == 70
    again = summary("run", resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-3"))
    assert again == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("is_fresh", [True, False])
def test_the_copy_of_a_fresh_adapter_goes_with_which_no_run_resumes(is_fresh: bool):
    import torch
    from peft import LoraConfig, get_peft_model

    from codefavor.training.plugins import RunPlugin

    model = get_peft_model(
        torch.nn.Sequential(torch.nn.Linear(2, 2)), LoraConfig(target_modules=["0"])
    )
    model.add_adapter("ref", model.peft_config["default"])  # as TRL's GRPO does
    if not is_fresh:
        torch.nn.init.ones_(model.get_parameter("base_model.model.0.lora_B.ref.weight"))
    cfg = SimpleNamespace(rl="dpo", precompute_ref_log_probs=None)
    RunPlugin().post_trainer_create(cfg, SimpleNamespace(model=model))
    assert ("ref" in model.peft_config) is not is_fresh
    RunPlugin().post_trainer_create(cfg, SimpleNamespace(model=torch.nn.Linear(2, 2)))


@pytest.mark.parametrize("dev_accuracy", [None, {"data": "dev.jsonl"}])
def test_a_reference_stays_only_for_dev_pairs_when_its_log_probabilities_are_known(dev_accuracy):
    import torch

    from codefavor.training.plugins import RunPlugin

    model, reference = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    accelerator = SimpleNamespace(_models=[reference, model])
    trainer = SimpleNamespace(
        model=model, ref_model=reference, accelerator=accelerator, is_fsdp_enabled=False
    )
    cfg = SimpleNamespace(rl="dpo", precompute_ref_log_probs=True, dev_accuracy=dev_accuracy)
    RunPlugin().post_trainer_create(cfg, trainer)
    n_left = sum(weight.numel() for weight in reference.parameters())
    if dev_accuracy:
        assert (trainer.ref_model, n_left) == (reference, 6)
    else:
        assert (trainer.ref_model, accelerator._models, n_left) == (None, [model], 0)


@pytest.mark.parametrize(
    ("whole", "cut", "expected"),
    [
        ([2, 4], [], 4),
        ([2, 10], [4], 10),
        ([2], [4, 10], 2),
        ([], [2], None),
        ([], [], None),
    ],
)
def test_a_bare_launch_goes_on_from_the_newest_whole_checkpoint(
    whole: list[int], cut: list[int], expected: int | None, tmp_path: Path
):
    from axolotl.utils.dict import DictDefault
    from axolotl.utils.train import determine_last_checkpoint

    from codefavor.training.plugins import RunPlugin

    for step in [*whole, *cut]:
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "adapter_model.safetensors").write_bytes(b"x")
    for step in whole:
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text("{}")
    for step in cut[:1]:
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text('{"global_st')
    for named in (None, "mine"):
        cfg = DictDefault(
            output_dir=str(tmp_path),
            auto_resume_from_checkpoints=True,
            resume_from_checkpoint=named,
        )
        for _ in range(2):  # the plugin is called again for a reference model
            RunPlugin().pre_model_load(cfg)
        path = str(tmp_path / f"checkpoint-{expected}") if expected else None
        assert determine_last_checkpoint(cfg) == (named or path)
    assert len(list(tmp_path.iterdir())) == len(whole) + len(cut)


def test_what_was_trained_on_rows_is_asked_without_thinking_and_on_the_same_day(tmp_path: Path):
    from transformers import AutoTokenizer

    from codefavor.training.plugins import ask_as_trained
    from codefavor.training.stand_in import StandIn

    day = time.strptime("2001-02-03", "%Y-%m-%d")
    asked = {}
    for name in ("Qwen/Qwen3-8B", "meta-llama/Llama-3.2-3B-Instruct", "openai/gpt-oss-20b"):
        StandIn.of(name, RECIPES).save(tmp_path / name, ["A or B?"])
        tokenizer = AutoTokenizer.from_pretrained(tmp_path / name)
        ask_as_trained(tokenizer, day)
        messages = [{"role": "user", "content": "A or B?"}]
        asked[name] = tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
    assert asked["Qwen/Qwen3-8B"].endswith("assistant\n<think>\n\n</think>\n\n")
    assert "Today Date: 03 Feb 2001" in asked["meta-llama/Llama-3.2-3B-Instruct"]
    assert "Current date: 2001-02-03" in asked["openai/gpt-oss-20b"]


@pytest.mark.parametrize(
    ("device", "n_processes", "expected"),
    [("cpu", 2, {"": "cpu"}), ("cpu", 1, "auto"), ("cuda:1", 2, {"": 1})],
)
def test_processes_without_an_accelerator_load_the_model_on_the_cpu(
    device, n_processes, expected, monkeypatch
):
    """For several processes Axolotl names the device by its number, on a CPU as well."""
    from axolotl.utils.dict import DictDefault

    from codefavor.training.plugins import RunPlugin

    device_map = "auto" if n_processes == 1 else {"": 1}
    cfg = DictDefault({"device": device, "world_size": n_processes, "device_map": device_map})
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    if expected == {"": "cpu"}:  # accelerate would join nothing: each process would train alone
        with pytest.raises(ValueError, match="need ACCELERATE_USE_CPU=true"):
            RunPlugin().load_datasets(cfg)
        monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    assert RunPlugin().load_datasets(cfg) is None
    assert cfg.device_map == expected


def test_weights_beside_an_adapter_are_removed_and_whole_models_are_not(
    tmp_path: Path, monkeypatch
):
    from axolotl.utils.dict import DictDefault

    from codefavor.training.plugins import RunPlugin

    plugin = RunPlugin()
    weights = tmp_path / "model-00001-of-00002.safetensors"
    weights.touch()
    lora = DictDefault({"output_dir": str(tmp_path), "adapter": "lora"})
    plugin.post_train_unload(lora)
    assert weights.exists()  # without the adapter's file they are all there is
    (tmp_path / "adapter_model.safetensors").touch()
    plugin.post_train_unload(DictDefault({"output_dir": str(tmp_path)}))
    monkeypatch.setenv("RANK", "1")
    plugin.post_train_unload(lora)
    assert weights.exists()
    monkeypatch.setenv("RANK", "0")
    plugin.post_train_unload(lora)
    assert [path.name for path in tmp_path.iterdir()] == ["adapter_model.safetensors"]


def test_a_trackio_board_has_the_recipes_name():
    """transformers would call every project "huggingface"."""
    from axolotl.utils.dict import DictDefault
    from transformers import TrainingArguments

    from codefavor.training.plugins import RunPlugin

    cfg = DictDefault({"use_trackio": True, "trackio_project_name": "codefavor"})
    named = RunPlugin().get_training_args(cfg)
    assert TrainingArguments(**named, report_to=[]).project == "codefavor"
    assert RunPlugin().get_training_args(DictDefault({"trackio_project_name": "codefavor"})) == {}


def test_curriculum_order_needs_unshuffled_data():
    from axolotl.utils.dict import DictDefault

    from codefavor.training.plugins import CurriculumPlugin

    plugin = CurriculumPlugin()
    kept = {"curriculum_order": True, "shuffle_merged_datasets": False}
    assert plugin.get_training_args(DictDefault({})) == {}
    assert plugin.get_training_args(DictDefault({**kept, "rl": "dpo"})) == {
        "train_sampling_strategy": "sequential"
    }
    assert plugin.get_training_args(DictDefault({**kept, "rl": "grpo"})) == {
        "shuffle_dataset": False
    }
    with pytest.raises(ValueError, match="shuffle_merged_datasets"):
        plugin.get_training_args(DictDefault({"curriculum_order": True, "rl": "dpo"}))


@pytest.mark.parametrize("form", ["paper", "additive"])
def test_the_trainers_loss_equals_the_formula_on_a_real_model(form: str):
    """The trainer's own path (model, masks, reference model) against float64 by hand."""
    import math
    from collections import defaultdict

    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from codefavor.training.dpop import DPOPTrainer

    def model(seed: int):
        torch.manual_seed(seed)
        config = LlamaConfig(
            vocab_size=11,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
        )
        made = LlamaForCausalLM(config)
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.mul_(3.0)
        return made

    policy, reference = model(1), model(2)
    rows, prompts, lengths = random_batch(4)
    ids = torch.tensor(rows)
    completion = torch.zeros_like(ids)
    attention = torch.zeros_like(ids)
    for row, (prompt, length) in enumerate(zip(prompts, lengths, strict=True)):
        completion[row, prompt:length] = 1
        attention[row, :length] = 1
    trainer = DPOPTrainer.__new__(DPOPTrainer)
    trainer.model, trainer.ref_model, trainer.beta = policy, reference, BETA
    trainer.dpop_lambda, trainer.dpop_form = 5.0, form
    trainer.args = SimpleNamespace(gradient_checkpointing_kwargs=None)
    trainer.accelerator = SimpleNamespace(
        gather=lambda value: value, gather_for_metrics=lambda value: value
    )
    trainer._metrics = {"train": defaultdict(list), "eval": defaultdict(list)}
    trainer._total_train_tokens = 0
    inputs = {"input_ids": ids, "attention_mask": attention, "completion_mask": completion}
    loss = trainer._compute_loss(policy, inputs, False)

    def logps(network):
        doubled = network.double()
        totals = []
        for row, (prompt, length) in enumerate(zip(prompts, lengths, strict=True)):
            with torch.no_grad():
                logits = doubled(input_ids=ids[row : row + 1, :length]).logits[0]
            total = 0.0
            for position in range(prompt, length):
                scores = logits[position - 1].tolist()
                biggest = max(scores)
                norm = biggest + math.log(sum(math.exp(score - biggest) for score in scores))
                total += scores[rows[row][position]] - norm
            totals.append(total)
        return totals

    ours, theirs = logps(policy), logps(reference)
    expected = []
    for pair in range(3):
        win, lose = ours[pair] - theirs[pair], ours[pair + 3] - theirs[pair + 3]
        penalty = 5.0 * max(0.0, -win)
        inside = win - lose - (penalty if form == "paper" else 0.0)
        value = math.log1p(math.exp(-BETA * inside))
        expected.append(value + (penalty if form == "additive" else 0.0))
    assert loss.item() == pytest.approx(sum(expected) / 3, rel=1e-5)
    assert trainer._metrics["train"]["logps/chosen"][0] == pytest.approx(
        sum(ours[:3]) / 3, rel=1e-5
    )
