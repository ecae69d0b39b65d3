"""Estimates against what was measured, and against sums done by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from codefavor.training.derive import Hardware
from codefavor.training.estimate import (
    CARDS,
    GIB,
    disk_space,
    estimate,
    host_memory,
    kept_per_token,
    memory_per_gpu,
    trainable_parameters,
)
from codefavor.training.matrix import read_matrix
from codefavor.training.model_shapes import (
    ModelShape,
    find_shape,
    known_models,
    shape_of_config,
    shape_of_size,
)
from codefavor.training.recipes import build

RECIPES = Path(__file__).resolve().parents[2] / "recipes"

# SmolLM2-135M: 134,515,008 weights by the safetensors file.
SMOLLM2 = {
    "hidden_size": 576,
    "num_hidden_layers": 30,
    "intermediate_size": 1536,
    "vocab_size": 49152,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "tie_word_embeddings": True,
    "model_type": "llama",
}
LORA = {"adapter": "lora", "lora_r": 16, "micro_batch_size": 1, "sequence_len": 512}
FULL = {"micro_batch_size": 1, "sequence_len": 512}


def test_weights_are_counted_from_the_configuration():
    assert shape_of_config(SMOLLM2).parameters == 134_515_008


def test_lora_weights_are_counted_by_hand():
    # per layer 16 * (q 1152 + k 768 + v 768 + o 1152 + gate 2112 + up 2112 + down 2112)
    assert trainable_parameters(LORA, shape_of_config(SMOLLM2)) == 30 * 16 * 10_176


@pytest.mark.parametrize(
    ("config", "tokens_per_row", "seconds"),
    [
        (FULL, 512, 6.4),
        (LORA, 512, 4.7),
        ({**LORA, "rl": "dpo"}, 1024, 13.4),
        ({**LORA, "rl": "orpo"}, 1024, 9.7),
        ({**LORA, "reward_model": True}, 1024, 7.2),
    ],
    ids=["full", "lora", "dpo", "orpo", "reward"],
)
def test_step_times_are_within_a_factor_of_two_of_the_measured_ones(
    config, tokens_per_row, seconds
):
    """Seconds per row of 512 tokens, measured on two idle cores."""
    found = estimate(
        config,
        shape_of_config(SMOLLM2),
        CARDS["cpu"],
        gpus=0,
        rows=1,
        tokens_per_row=tokens_per_row,
        longest=512,
    )
    assert seconds / 2 < found.hours * 3600 < seconds * 2


@pytest.mark.parametrize(
    ("config", "gigabytes"),
    [(FULL, 3.7), (LORA, 2.8), ({**LORA, "rl": "dpo"}, 4.6), ({**LORA, "rl": "orpo"}, 4.4)],
    ids=["full", "lora", "dpo", "orpo"],
)
def test_memory_is_within_a_third_of_the_measured_peak(config, gigabytes):
    found = sum(memory_per_gpu(config, shape_of_config(SMOLLM2), 0, 512).values()) / 1e9
    assert found == pytest.approx(gigabytes, rel=0.34)


def shape(
    billions: float,
    layers: int,
    hidden: int,
    inner: int,
    vocabulary: int,
    kv_share: float = 1.0,
    attention: int = 0,
    *,
    is_tied: bool = False,
) -> ModelShape:
    return ModelShape(
        billions * 1e9, layers, hidden, inner, vocabulary, kv_share, attention, is_tied=is_tied
    )


QWEN = "https://github.com/QwenLM/Qwen README.md, Profiling of Memory and Speed: A100, batch 1"
UNIVERSAL = "https://github.com/ljm565/universal-llm-trainer GPU test: H100, batch 2, 8192 tokens"
LONGLORA = "arXiv 2309.12307, table 12 (plain LoRA): 8 A100, ZeRO-2"
LLAMA_FACTORY = "https://github.com/hiyouga/LlamaFactory/issues/5977: 8 RTX 3090, full Llama-3-8B"
QWEN_18B = shape(1.837, 24, 2048, 5504, 151_936)
QWEN_7B = shape(7.721, 32, 4096, 11_008, 151_936)
QWEN_14B = shape(14.167, 40, 5120, 13_696, 152_064)
QWEN_72B = shape(72.29, 80, 8192, 24_576, 152_064)
LLAMA_8B = shape(8.03, 32, 4096, 14_336, 128_256, 0.25)
LLAMA_13B = shape(13.02, 40, 5120, 13_824, 32_000)
GEMMA_9B = shape(9.24, 42, 3584, 14_336, 256_000, 0.5, 4096, is_tied=True)
GEMMA_7B = shape(8.54, 28, 3072, 24_576, 256_000, 1.0, 4096, is_tied=True)
PHI_4B = shape(3.82, 32, 3072, 8192, 32_064)
GPU = {"bf16": True, "gradient_checkpointing": True, "micro_batch_size": 1}
LORA_64 = {**GPU, "adapter": "lora", "lora_r": 64}
QLORA_64 = {**LORA_64, "load_in_4bit": True}
ZERO_3 = {"deepspeed": "recipes/deepspeed/zero3.json"}
TWO = {**GPU, "micro_batch_size": 2}
LORA_TWO = {**TWO, "adapter": "lora", "lora_r": 16}
LENGTHS = (256, 512, 1024, 2048, 4096, 8192)


def by_length(*gigabytes: float, parts: int = 1) -> dict[int, float]:
    return {length: total / parts for length, total in zip(LENGTHS, gigabytes, strict=True)}


# Source, model, settings, GPUs, and the GB of one GPU at each length.
REPORTED: list[tuple[str, ModelShape, dict, int, dict[int, float]]] = [
    (QWEN, QWEN_18B, LORA_64, 1, by_length(6.7, 7.4, 8.4, 11.0, 16.2, 21.8)),
    (QWEN, QWEN_7B, LORA_64, 1, by_length(20.1, 20.4, 21.5, 23.8, 29.7, 36.6)),
    (QWEN, QWEN_14B, LORA_64, 1, by_length(34.6, 35.1, 35.3, 37.4, 42.5, 55.2)),
    (QWEN, QWEN_18B, QLORA_64, 1, by_length(5.8, 6.0, 6.6, 7.8, 10.2, 15.8)),
    (QWEN, QWEN_7B, QLORA_64, 1, by_length(11.5, 11.5, 12.3, 13.9, 16.9, 23.5)),
    (QWEN, QWEN_14B, QLORA_64, 1, by_length(18.7, 18.4, 18.9, 19.9, 23.0, 27.9)),
    (QWEN, QWEN_72B, QLORA_64, 1, by_length(61.4, 61.4, 62.9, 64.1, 68.0, 75.6)),
    # reported for all GPUs together
    (QWEN, QWEN_72B, {**LORA_64, **ZERO_3}, 4,
     by_length(215.4, 217.7, 222.6, 228.8, 249.0, 289.2, parts=4)),
    (QWEN, QWEN_7B, {**GPU, **ZERO_3}, 2, {256: 139.2 / 2, 512: 148 / 2, 1024: 162 / 2}),
    (QWEN, QWEN_18B, {**GPU, **ZERO_3}, 1,
     by_length(43.5, 43.5, 43.5, 43.5, 47.1, 48.3)),
    # reported in GiB
    (UNIVERSAL, LLAMA_8B, LORA_TWO, 1, {8192: 36 * GIB / 1e9}),
    (UNIVERSAL, LLAMA_13B, LORA_TWO, 1, {8192: 43 * GIB / 1e9}),
    (UNIVERSAL, GEMMA_9B, LORA_TWO, 1, {8192: 60 * GIB / 1e9}),
    (UNIVERSAL, GEMMA_7B, LORA_TWO, 1, {8192: 51 * GIB / 1e9}),
    (UNIVERSAL, PHI_4B, LORA_TWO, 1, {8192: 17 * GIB / 1e9}),
    (UNIVERSAL, LLAMA_8B, TWO, 1, {8192: 78 * GIB / 1e9}),
    (UNIVERSAL, PHI_4B, TWO, 1, {8192: 40 * GIB / 1e9}),
    (LONGLORA, shape(6.74, 32, 4096, 11_008, 32_000),
     {**GPU, "adapter": "lora", "lora_r": 8, "deepspeed": "recipes/deepspeed/zero2.json"}, 8,
     {8192: 25.7}),
    (LLAMA_FACTORY, LLAMA_8B, {**GPU, "deepspeed": "recipes/deepspeed/zero3_offload.json"}, 8,
     {1024: 13.0}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "model", "config", "gpus", "length", "gigabytes"),
    [
        pytest.param(source, model, config, gpus, length, gigabytes, id=f"{number}-{length}")
        for number, (source, model, config, gpus, figures) in enumerate(REPORTED)
        for length, gigabytes in figures.items()
    ],
)
def test_memory_is_within_a_quarter_of_what_others_report(
    source, model, config, gpus, length, gigabytes
):
    found = sum(memory_per_gpu(config, model, gpus, length).values()) / 1e9
    assert found == pytest.approx(gigabytes, rel=0.25), source


# Source, model, settings, GPUs, tokens, and GB of a GPU that ran out of memory.
TRL = "https://github.com/huggingface/trl/issues/3168: DPO, TRL's defaults (8 pairs, fp32), A100"
PACKED = "https://github.com/axolotl-ai-cloud/axolotl/pull/2412: all weights, 16k tokens, H100"
SMOLLM2_17B = shape(1.711, 24, 2048, 8192, 49_152, is_tied=True)
QWEN_05B = shape(0.494, 24, 896, 4864, 151_936, 1 / 7, is_tied=True)
OUT_OF_MEMORY = [
    (TRL, QWEN_05B, {"rl": "dpo", "micro_batch_size": 8}, 1, 1024, 80),
    (LLAMA_FACTORY, LLAMA_8B, {**GPU, **ZERO_3}, 8, 1024, 24),
    (QWEN, QWEN_72B, LORA_64, 4, 256, 80),
    ("https://github.com/huggingface/peft README.md: full bloomz-7b1 in fp32, A100",
     shape(7.07, 30, 4096, 16_384, 250_880), {"micro_batch_size": 1}, 1, 256, 80),
    ("https://github.com/huggingface/trl/issues/2294: full 90B, 8 A100, FSDP",
     shape(90.0, 100, 8192, 28_672, 128_256, 0.125), {**GPU, "fsdp_config": {"x": 1}}, 8, 1024, 80),
]  # fmt: skip


@pytest.mark.parametrize(("source", "model", "config", "gpus", "length", "memory"), OUT_OF_MEMORY)
def test_nothing_fits_that_others_report_out_of_memory(source, model, config, gpus, length, memory):
    card = replace(CARDS["a100-80"], memory_gib=memory)
    found = estimate(
        config, model, card, gpus=gpus, rows=100, tokens_per_row=length, longest=length
    )
    assert not found.fits, source


def test_what_others_report_near_the_limit_is_called_tight():
    """The report does not say whether its weights, which start at random, were bf16 or fp32."""
    config = {"bf16": True, "micro_batch_size": 1, "optimizer": "adamw_8bit"}
    found = estimate(
        config, SMOLLM2_17B, CARDS["h100"], gpus=1, rows=9, tokens_per_row=500, longest=16_384
    )
    assert (found.fits, found.is_tight) == (True, True), PACKED
    short = estimate(
        config, SMOLLM2_17B, CARDS["h100"], gpus=1, rows=9, tokens_per_row=500, longest=512
    )
    assert (short.fits, short.is_tight) == (True, False)


@pytest.mark.parametrize("max_steps", [7, 60])
def test_max_steps_take_the_place_of_the_epochs(max_steps):
    """80 rows in batches of 4 are 20 steps an epoch; TrainingArguments let max_steps override."""
    config = {"bf16": True, "micro_batch_size": 4, "num_epochs": 1, "max_steps": max_steps}
    found = estimate(
        config, SMOLLM2_17B, CARDS["h100"], gpus=1, rows=80, tokens_per_row=100, longest=100
    )
    assert found.steps == max_steps
    assert found.tokens == pytest.approx(max_steps * 4 * 100)


@pytest.mark.parametrize("kind", ["bfloat16", "float32"])
@pytest.mark.parametrize(
    "sizes", [(256, 1024, 4, 4), (256, 1024, 4, 1), (512, 1024, 4, 4), (256, 2048, 4, 4)]
)
def test_what_a_layer_keeps_is_what_torch_saves_for_its_backward_pass(kind, sizes):
    """The bytes of all tensors that autograd saves, of two depths, so that the ends drop out."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    hidden, inner, heads, kv_heads = sizes
    names = ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads")
    n_tokens, totals = 256, []
    for layers in (1, 2):
        words = dict(zip(names, sizes, strict=True)) | {"num_hidden_layers": layers}
        config = transformers.AutoConfig.for_model("llama", vocab_size=64, **words)
        model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
        model = model.to(getattr(torch, kind))
        own = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
        saved: dict[int, object] = {}

        def keep(tensor, saved=saved, own=own):
            place = tensor.untyped_storage().data_ptr()
            if place not in own:
                saved[place] = tensor
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model.model(input_ids=torch.zeros(1, n_tokens, dtype=torch.long))
        totals.append(sum(one.untyped_storage().nbytes() for one in saved.values()))
    model_shape = shape(1, 1, hidden, inner, 64, kv_heads / heads)
    found = kept_per_token(model_shape, 2.0 if kind == "bfloat16" else 4.0)
    assert (totals[1] - totals[0]) / n_tokens == pytest.approx(found, rel=0.01)


@pytest.mark.parametrize(
    ("deepspeed", "gibibytes"),
    [("zero2_offload", 127.45), ("zero3_offload", 71.69), ("zero3", 0.0)],
)
def test_the_hosts_memory_is_what_deepspeed_says(deepspeed: str, gibibytes: float):
    """Its own memory page: 2,851 million weights on one node of 8 GPUs (zero.Init under ZeRO-3)."""
    found = host_memory({"deepspeed": f"x/{deepspeed}.json"}, shape(2.851, 24, 1024, 4096, 0), 8)
    assert found / GIB == pytest.approx(gibibytes, abs=0.01)


@pytest.mark.parametrize(
    ("changes", "weights", "host"),
    [
        # 2 bytes of weights, over 8 GPUs
        ({}, 7e9 * 2 / 8, 0.0),
        # on the host 16 bytes of all weights: themselves, gradient, fp32 master and two moments
        ({"offload_params": True}, 0.0, 7e9 * 16),
        ({"fsdp_offload_params": True, "fsdp_cpu_ram_efficient_loading": True}, 0.0, 7e9 * 16),
    ],
    ids=["split", "offload", "older names"],
)
def test_fsdp_offload_moves_all_weights_to_the_host(changes, weights: float, host: float):
    model = shape(7.0, 32, 4096, 14_336, 128_000, 0.25)
    config = {**GPU, "fsdp_version": 2, "fsdp_config": {"reshard_after_forward": True, **changes}}
    memory = memory_per_gpu(config, model, 8, 2048)
    assert memory["weights"] == weights
    assert (memory["optimizer"] == 0.0) is bool(host)
    assert host_memory(config, model, 8) == host


def test_weights_of_4_bits_are_split_under_fsdp_and_not_under_zero3():
    qlora = {**GPU, "adapter": "qlora", "lora_r": 16, "load_in_4bit": True}
    fsdp = {**qlora, "fsdp_config": {"reshard_after_forward": True}}
    model = LLAMA_8B
    # embeddings and head keep their 2 bytes, all else has 0.56; LoRA's own are fp32 on each GPU
    ends = 2 * 128_256 * 4096
    whole = (8.03e9 - ends) * 0.56 + ends * 2
    own = trainable_parameters(qlora, model) * 4
    assert memory_per_gpu(fsdp, model, 8, 2048)["weights"] == pytest.approx(whole / 8 + own)
    under_zero = memory_per_gpu({**qlora, **ZERO_3}, model, 8, 2048)["weights"]
    assert under_zero == pytest.approx(whole + own)
    # before the split each process holds the whole model, unless one reads for all
    slow = {**fsdp, "fsdp_config": {"offload_params": True}}
    quick = {**slow, "fsdp_config": {"offload_params": True, "cpu_ram_efficient_loading": True}}
    assert host_memory(slow, model, 8) == pytest.approx(8 * whole)
    assert host_memory(quick, model, 8) == pytest.approx(whole + own * 4)


def test_zero3_splits_weights_gradients_and_optimizer_over_the_gpus():
    model = shape(7.0, 32, 4096, 14_336, 128_000, 0.25)
    config = {**GPU, **ZERO_3}
    memory = memory_per_gpu(config, model, 8, 2048)
    # 2 bytes of weights, 2 of gradients, 12 of fp32 master and moments, over 8 GPUs
    assert [memory[key] for key in ("weights", "gradients", "optimizer")] == [
        7e9 * 2 / 8,
        7e9 * 2 / 8,
        7e9 * 12 / 8,
    ]
    with_dpo = memory_per_gpu({**config, "rl": "dpo"}, model, 8, 2048)
    assert with_dpo["reference model"] == 7e9 * 2 / 8
    known = {**config, "rl": "dpo", "precompute_ref_log_probs": True}
    assert "reference model" in memory_per_gpu(known, model, 8, 2048)  # Axolotl loads it
    known["plugins"] = ["codefavor.training.plugins.RunPlugin"]
    assert "reference model" not in memory_per_gpu(known, model, 8, 2048)
    # dev pairs are measured against it all the while
    assert "reference model" in memory_per_gpu(
        {**known, "dev_accuracy": {"data": "x"}}, model, 8, 9
    )


def test_a_reward_model_has_no_layer_over_the_vocabulary():
    config = {**GPU, "adapter": "lora", "lora_r": 16, "reward_model": True}
    memory = memory_per_gpu(config, LLAMA_8B, 1, 2048)
    assert memory["logits"] == 0
    without = memory_per_gpu({**config, "reward_model": None, "rl": "dpo"}, LLAMA_8B, 1, 2048)
    assert without["weights"] - memory["weights"] == 128_256 * 4096 * 2
    assert without["logits"] == 2 * 2048 * 128_256 * 10


def test_a_fused_loss_never_holds_all_logits():
    fused = {**GPU, "liger_fused_linear_cross_entropy": True}
    logits = [memory_per_gpu(one, LLAMA_8B, 1, 2048)["logits"] for one in (GPU, fused)]
    assert logits[1] == logits[0] * 4096 / 128_256


def test_checkpoints_of_whole_weights_are_small_without_their_states():
    config = {**GPU, "save_total_limit": 1}
    assert disk_space(config, LLAMA_8B) == pytest.approx(8.03e9 * (2 + 2 * 14))
    assert disk_space({**config, "save_only_model": True}, LLAMA_8B) == pytest.approx(8.03e9 * 6)


def test_seven_billion_in_full_does_not_fit_one_24_gb_card_but_qlora_does():
    shape = shape_of_size(7.6e9)
    common = {"bf16": True, "gradient_checkpointing": True, "micro_batch_size": 1}
    full = {**common, "sequence_len": 1024}
    qlora = {**full, "adapter": "qlora", "lora_r": 16, "load_in_4bit": True}
    for config, fits in ((full, False), (qlora, True)):
        found = estimate(
            config, shape, CARDS["rtx4090"], gpus=1, rows=100, tokens_per_row=500, longest=1024
        )
        assert found.fits is fits


def test_steps_and_dollars_by_hand():
    batch = {"micro_batch_size": 4, "gradient_accumulation_steps": 2}
    config = {**batch, "num_epochs": 2, "bf16": True}
    shape = ModelShape(1e9, 16, 2048, 8192, 100_000)
    found = estimate(
        config, shape, CARDS["h100"], gpus=8, rows=1000, tokens_per_row=500, longest=500
    )
    assert found.steps == 2 * 16  # 1000 rows in batches of 64: 16 steps an epoch
    seconds = 2 * 1000 * 500 * 6e9 / (989e12 * 0.35 * 8)
    assert found.hours * 3600 == pytest.approx(seconds)
    assert found.usd == pytest.approx(seconds / 3600 * 8 * 2.70)


def test_a_group_of_samples_is_made_and_trained_for_every_question():
    trl = {"num_generations": 4, "max_completion_length": 100}
    config = {"rl": "grpo", "trl": trl, "micro_batch_size": 8, "bf16": True, "sequence_len": 512}
    shape = ModelShape(1e9, 16, 2048, 8192, 100_000)
    found = estimate(config, shape, CARDS["h100"], gpus=1, rows=50, tokens_per_row=60, longest=90)
    assert found.steps == 25  # 50 questions, 4 samples each, in batches of 8
    assert found.tokens == 200 * 160


def test_every_gpu_recipe_fits_the_gpus_that_it_is_for():
    models = known_models(RECIPES)
    shapes = {name: find_shape({"base_model": name}, RECIPES, RECIPES) for name in models}
    too_large = []
    for name, line in read_matrix(RECIPES).items():
        if not line.gpus:
            continue
        config = build(line, RECIPES).config
        memory = Hardware.parse(line.hardware).memory_gb if line.hardware else 80
        found = estimate(
            config,
            shapes[config["base_model"]],
            replace(CARDS["a100-80"], memory_gib=memory),
            gpus=line.gpus,
            rows=100,
            tokens_per_row=1000,
            longest=int(config["sequence_len"]),
        )
        if not found.fits:
            too_large.append((name, round(found.memory_bytes / GIB, 1)))
    assert too_large == []
