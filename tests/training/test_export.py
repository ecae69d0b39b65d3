"""A finished run becomes a folder that transformers loads, with a card; pushing sends just that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from codefavor.errors import ConfigError
from codefavor.hub import push_folder
from codefavor.training.export import export
from codefavor.training.merge import fold_adapter
from codefavor.training.model_card import base_model_name, model_card, public_card
from tests.training.hub import FakeHub, serving

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

CARD = {
    "status": "finished",
    "fingerprint": "f",
    "recipe": "/home/me/recipes/smollm2-135m/dpo.yaml",
    "config": {
        "base_model": "Qwen/Qwen2.5-Coder-0.5B-Instruct",
        "rl": "dpo",
        "dpo_loss_type": ["ipo"],
        "adapter": "lora",
        "learning_rate": 0.0002,
        "output_dir": "outputs/train/x",
        "datasets": [{"path": "/home/me/dpo.jsonl"}],
    },
    "data": {"/home/me/dpo.jsonl": "ab12"},
    "command": ["accelerate", "launch", "/home/me/x"],
    "seconds": 90.0,
    "started": "2026-01-02T03:04:05+00:00",
    "versions": {"axolotl": "0.19.0"},
    "hardware": {"processor": "a processor", "cores": 2, "gpus": []},
    "first": {"step": 1, "loss": 0.693, "rewards/margins": 0.0},
    "last": {"step": 6, "loss": 0.091, "rewards/margins": 2.64},
    "signs": ["the reward margin is flat"],
}
TEMPLATE = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</s>{% endfor %}"


def tiny_tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE(vocab={"</s>": 0, "a": 1, "b": 2, "Ġ": 3}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="</s>", pad_token="</s>")
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def tiny_model(folder: Path) -> Path:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=8,
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        pad_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def tiny_run(folder: Path, base: Path, task: str = "CAUSAL_LM", n_outputs: int = 0) -> Path:
    """What a LoRA training leaves: adapter, tokenizer, run card."""
    import peft
    import transformers

    kind = {
        "CAUSAL_LM": "AutoModelForCausalLM",
        "SEQ_CLS": "AutoModelForSequenceClassification",
        "TOKEN_CLS": "AutoModelForTokenClassification",
    }[task]
    extra = {"num_labels": n_outputs} if n_outputs else {}
    model = getattr(transformers, kind).from_pretrained(base, **extra)
    adapted = peft.get_peft_model(
        model,
        peft.LoraConfig(r=2, lora_alpha=4, task_type=task, target_modules=["v_proj", "down_proj"]),
    )
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name or "modules_to_save" in name:
                parameter.add_(torch.randn_like(parameter))
    adapted.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    card = {**CARD, "config": {**CARD["config"], "base_model": str(base)}}
    (folder / "run.json").write_text(json.dumps(card))
    (folder / "metrics.jsonl").write_text('{"step": 1, "loss": 0.6}\n')
    return folder


def test_the_exported_folder_gives_what_adapter_and_base_give(tmp_path: Path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = tiny_model(tmp_path / "base")
    run = tiny_run(tmp_path / "run", base)
    out = export(run, tmp_path / "out")
    ids = torch.tensor([[1, 2, 3, 1]])
    plain = AutoModelForCausalLM.from_pretrained(base)
    before = plain(ids).logits
    expected = PeftModel.from_pretrained(plain, run)(ids).logits
    found = AutoModelForCausalLM.from_pretrained(out)(ids).logits
    assert torch.allclose(found, expected, atol=1e-5)
    assert not torch.allclose(found, before, atol=1e-3)
    assert AutoTokenizer.from_pretrained(out).chat_template == TEMPLATE
    names = {path.name for path in out.iterdir()}
    assert {"README.md", "run.json", "metrics.jsonl", "model.safetensors"} <= names
    assert "adapter_config.json" not in names


def test_an_adapter_on_experts_is_added_to_each_of_them(tmp_path: Path):
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM

    torch.manual_seed(0)
    base, run = tmp_path / "base", tmp_path / "run"
    config = Qwen3MoeConfig(
        vocab_size=8, hidden_size=16, intermediate_size=32, moe_intermediate_size=8, num_experts=4,
        num_experts_per_tok=2, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2,
        head_dim=8, pad_token_id=0,
    )  # fmt: skip
    Qwen3MoeForCausalLM(config).save_pretrained(base)
    targets = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
    lora = LoraConfig(
        r=2, task_type="CAUSAL_LM", target_modules=["v_proj"], target_parameters=targets
    )
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(base), lora)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "experts" in name and "lora_B" in name:
                parameter.add_(torch.randn_like(parameter))
    adapted.save_pretrained(run)
    tiny_tokenizer().save_pretrained(run)
    card = {**CARD, "config": {**CARD["config"], "base_model": str(base)}}
    (run / "run.json").write_text(json.dumps(card))
    out = export(run, tmp_path / "out")
    ids = torch.tensor([[1, 2, 3, 1]])
    plain = AutoModelForCausalLM.from_pretrained(base)
    before = plain(ids).logits
    expected = PeftModel.from_pretrained(plain, run)(ids).logits
    found = AutoModelForCausalLM.from_pretrained(out)(ids).logits
    assert torch.allclose(found, expected, atol=1e-5)
    assert not torch.allclose(found, before, atol=1e-3)


@pytest.mark.parametrize(
    ("task", "kind", "n_outputs"),
    [
        ("SEQ_CLS", "AutoModelForSequenceClassification", 1),
        ("TOKEN_CLS", "AutoModelForTokenClassification", 2),
    ],
)
def test_a_reward_model_keeps_its_head(task, kind, n_outputs, tmp_path: Path):
    import transformers
    from peft import PeftModel

    base = tiny_model(tmp_path / "base")
    run = tiny_run(tmp_path / "run", base, task, n_outputs)
    out = export(run, tmp_path / "out")
    ids = torch.tensor([[1, 2, 3, 1]])
    loader = getattr(transformers, kind)
    wrapped = PeftModel.from_pretrained(loader.from_pretrained(base, num_labels=n_outputs), run)
    found = loader.from_pretrained(out)(ids).logits
    assert found.shape[-1] == n_outputs
    assert torch.allclose(found, wrapped(ids).logits, atol=1e-5)


def test_the_adapter_alone_can_be_exported(tmp_path: Path):
    run = tiny_run(tmp_path / "run", tiny_model(tmp_path / "base"))
    out = export(run, tmp_path / "out", adapter_only=True, name="me/judge", license_id="mit")
    assert {"adapter_model.safetensors", "adapter_config.json"} <= {
        path.name for path in out.iterdir()
    }
    assert not (out / "model.safetensors").exists()
    assert "library_name: peft" in (out / "README.md").read_text()


@pytest.mark.parametrize(
    ("status", "message"), [("running", "is not finished"), ("finished", "no model folder here")]
)
def test_what_cannot_be_exported_is_refused_and_leaves_nothing(
    status: str, message: str, tmp_path: Path
):
    run = tiny_run(tmp_path / "run", tiny_model(tmp_path / "base"))
    card = {**CARD, "status": status}
    (run / "run.json").write_text(json.dumps(card))
    with pytest.raises(ConfigError, match=message):
        export(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_run_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="expected the output folder of `codefavor train`"):
        export(tmp_path, tmp_path / "out")


def test_the_card_says_how_the_model_was_trained_and_nothing_of_the_machines_paths():
    text = model_card(CARD, name="me/judge", license_id="apache-2.0")
    _, header, body = text.split("---\n", 2)
    assert yaml.safe_load(header) == {
        "library_name": "transformers",
        "base_model": "Qwen/Qwen2.5-Coder-0.5B-Instruct",
        "license": "apache-2.0",
        "pipeline_tag": "text-generation",
        "tags": ["code", "preference", "codefavor", "dpo"],
    }
    for part in (
        "loss: ipo",
        "6 steps, 1.5 minutes",
        "loss: 0.693 at the first log, 0.091 at the",
        "learning_rate: 0.0002",
        "axolotl 0.19.0",
        "warning: the reward margin is flat",
    ):
        assert part in body
    assert "/home/me" not in text
    assert "/home/me" not in json.dumps(public_card(CARD))
    assert public_card(CARD)["data"] == {"dpo.jsonl": "ab12"}


def test_the_card_says_how_many_training_pairs_a_program_could_have_forged():
    assert "forge" not in model_card(CARD, name="me/judge")
    forgeable = {**CARD, "together": {"/home/me/dpo.jsonl": 7}}
    assert "7 training pairs rest on test runs of the together lane" in model_card(
        forgeable, name="me/judge"
    )
    assert public_card(forgeable)["together"] == {"dpo.jsonl": 7}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("outputs/models/SmolLM2-135M-Instruct", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("/data/models/mine", "mine"),
        ("Qwen/Qwen3-8B", "Qwen/Qwen3-8B"),
    ],
)
def test_the_base_model_is_named_as_others_know_it(given: str, shown: str):
    assert base_model_name({"base_model": given}) == shown


def test_a_push_sends_the_folder_as_one_commit(tmp_path: Path, monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    folder = tmp_path / "judge"
    folder.mkdir()
    (folder / "README.md").write_text(model_card(CARD, name="me/judge"))
    (folder / "config.json").write_text("{}")
    with serving(FakeHub()) as hub:
        address = push_folder(folder, "me/judge", kind="model", endpoint=hub.url)
    assert address.endswith("/me/judge/commit/" + "1" * 40)
    assert hub.repositories == {"me/judge": True}  # private unless wished otherwise
    assert hub.files == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert "Bearer hf_secret" in hub.tokens


@pytest.mark.parametrize(
    ("repository", "environment", "message"),
    [
        ("me/judge", {"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE=1 is set"),
        ("judge", {}, "expected OWNER/NAME"),
        ("me/judge", {"HF_TOKEN": ""}, "no Hub token"),
        ("me/judge", {"HF_TOKEN": "hf_x"}, "the Hub cannot be reached, nothing was pushed"),
    ],
    ids=["offline", "name", "token", "unreachable"],
)
def test_a_push_that_cannot_work_says_so(
    repository, environment, message, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    for name in ("HF_HUB_OFFLINE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "README.md").write_text("x")
    with pytest.raises(ConfigError, match=message):
        push_folder(tmp_path, repository, kind="model", endpoint="http://127.0.0.1:9")


@pytest.mark.parametrize("target", ["lm_head", "embed_tokens"])
@pytest.mark.parametrize("is_copy", [False, True])
def test_an_adapter_on_one_of_tied_matrices_is_added_to_that_one(
    target: str, is_copy: bool, tmp_path: Path
):
    """The merged model is the trained one: it was another, as both matrices were changed."""
    import peft
    from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

    base = tiny_model(tmp_path / "base")
    config = LlamaConfig.from_pretrained(base, tie_word_embeddings=True)
    LlamaForCausalLM(config).save_pretrained(base)
    model = LlamaForCausalLM.from_pretrained(base)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    layers = {"target_modules": ["q_proj"], "modules_to_save": [target]}
    settings = layers if is_copy else {"target_modules": ["q_proj", target]}
    trained = peft.get_peft_model(model, peft.LoraConfig(r=2, task_type="CAUSAL_LM", **settings))
    for parameter in trained.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.5)
    trained.save_pretrained(tmp_path / "adapter")
    tokens = torch.arange(8)[None]
    expected = trained.eval()(input_ids=tokens).logits
    out = fold_adapter(base, tmp_path / "adapter", tmp_path / "out")
    merged = AutoModelForCausalLM.from_pretrained(out).eval()
    assert torch.allclose(merged(input_ids=tokens).logits, expected, atol=1e-5)
