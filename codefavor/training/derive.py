"""A recipe for a model, a method and some GPUs: what fits, and the reason of every setting.

Nothing is tried here: memory is the estimate's (`estimate.py`), and rates are those that others
published. `codefavor recipes new` and the GPU recipes of the matrix both come from here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from codefavor.errors import ConfigError
from codefavor.records import Row
from codefavor.training.estimate import disk_space, memory_per_gpu
from codefavor.training.model_shapes import ModelShape, find_config, known_models, shape_of_config
from codefavor.training.plugin_args import SFT_JUDGES
from codefavor.training.recipes import MatrixLine, build, load_yaml, method_of
from codefavor.training.reply_text import thinks
from codefavor.training.stand_in import FAMILIES_FILE, find_family, template_text

# Rows of one step, the CodeFavor paper's 32: more would leave few steps of few pairs. A packed
# window of 2048 tokens holds about four rows.
_BATCH = 32
_ROWS_OF_A_WINDOW = 4
# Samples of one question under GRPO (recipes/layers/gpu/grpo.yaml): a process takes whole groups.
_GROUP = 8
# The longest sample there, in tokens; a model that thinks gets four times as many.
_SAMPLED = 1024
# The share of a GPU that may be planned for: the rest is fragmentation, and the estimate's error.
_SHARE = 0.85
GIB = 1 << 30
_LIGER = "axolotl.integrations.liger.LigerPlugin"
# Architectures whose layers Axolotl's LoRA kernels know, in the names of transformers.
_LORA_KINDS = frozenset({"llama", "mistral", "qwen2", "qwen3", "qwen3_moe", "gemma2", "smollm3"})
# Those for which Liger's kernels are taken. Granite scales its logits and its MLP differs: of these
# two Liger has no kernel that fits (its monkey_patch.py).
LIGER_KINDS = _LORA_KINDS | {"granite", "mixtral", "olmo2", "phi3"}
_NO_LIGER_LAYERS = {"granite"}
_GIVES_LOGITS = {"pairwise", "pairwise-cot", "sft"}
# The rest is trained under `rl:`, where Axolotl does not hand load_best_model_at_end on.
_CHOSEN_BY_LOSS = _GIVES_LOGITS | {"reward", "process"}
_TRAINED = {"full": "all weights", "lora": "LoRA", "qlora": "QLoRA"}


@dataclass(frozen=True)
class Rate:
    """Learning rates at 8 billion weights, for LoRA and for all weights, and whose they are."""

    lora: float
    full: float
    source: str


_SFT = Rate(1e-4, 5e-6, "the CodeFavor paper's 5e-6 for all weights, LoRA 20 times that")
_DPO = Rate(5e-6, 5e-7, "Zephyr and Tülu 3 use 5e-7 for all weights, Zephyr 5e-6 with QLoRA")
RATES: dict[str, Rate] = {
    "pairwise": _SFT,
    "pairwise-cot": _SFT,
    "sft": _SFT,
    "process": _SFT,
    "reward": Rate(
        5e-5, 3e-6, "Tülu 3's reward model uses 3e-6 for all weights; LoRA 15 times that"
    ),
    "dpo": _DPO,
    "dpop": _DPO,
    "kto": Rate(5e-6, 5e-7, "the KTO paper uses 5e-7 for all weights; LoRA 10 times that"),
    "simpo": Rate(1e-5, 1e-6, "the SimPO paper uses 6e-7 to 1e-6 for all weights; LoRA 10 times"),
    "orpo": Rate(5e-5, 5e-6, "the ORPO paper uses 5e-6 for Mistral-7B; LoRA 10 times that"),
    "grpo": Rate(1e-5, 1e-6, "DeepSeekMath's 1e-6 for all weights; LoRA 10 times that"),
}


@dataclass(frozen=True)
class Hardware:
    """GPUs of one kind: `nodes` machines with `per_node` GPUs of `memory_gb` each."""

    nodes: int
    per_node: int
    memory_gb: int

    @classmethod
    def parse(cls, text: str) -> Hardware:
        """From GPUSxGB ("4x80"), for several machines NODESxGPUSxGB ("2x8x80")."""
        if not re.fullmatch(r"([1-9]\d*x){1,2}[1-9]\d*", text):
            raise ConfigError(
                f"{text!r}: expected GPUSxGB as in 4x80, or NODESxGPUSxGB as in 2x8x80"
            )
        *nodes, per_node, memory = (int(part) for part in text.split("x"))
        return cls(nodes[0] if nodes else 1, per_node, memory)

    @property
    def gpus(self) -> int:
        """All of them."""
        return self.nodes * self.per_node

    @property
    def text(self) -> str:
        """As `parse` reads it."""
        machines = f"{self.nodes}x" if self.nodes > 1 else ""
        return f"{machines}{self.per_node}x{self.memory_gb}"


@dataclass(frozen=True)
class Model:
    """A base model: what its files say, and the settings that only it needs.

    `layer` is the one of `recipes/layers/model` that has these settings, "" for a model without.
    """

    name: str
    config: Row
    shape: ModelShape
    layer: str = ""
    settings: Row = field(default_factory=dict)
    header: Row = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The architecture, in the words of transformers."""
        return str(self._text.get("model_type") or "")

    @property
    def window(self) -> int:
        """The most tokens that it was made for; as many as anybody asks where it does not say."""
        return int(self._text.get("max_position_embeddings") or 1 << 20)

    @property
    def _text(self) -> Row:
        return dict(self.config.get("text_config") or self.config)


def listed_model(stem: str, root: Path) -> Model:
    """A model of `recipes/layers/model`, by the name of its file."""
    settings = load_yaml(root / "layers" / "model" / f"{stem}.yaml")
    name = str(settings["base_model"])
    config = find_config(name, Path.cwd(), root)
    family = find_family(name, load_yaml(root / FAMILIES_FILE)) or {"template": ""}
    header = {**settings.get("header", {}), "thinks": thinks(template_text(family))}
    return Model(name, config, shape_of_config(config), stem, settings, header)


def find_listed(name: str, root: Path) -> Model | None:
    """The listed model of this name on the Hub, None if there is none."""
    for path in sorted((root / "layers" / "model").glob("*.yaml")):
        if load_yaml(path)["base_model"] == name and name in known_models(root):
            return listed_model(path.stem, root)
    return None


def derive(
    name: str,
    model: Model,
    method: str,
    hardware: Hardware,
    root: Path,
) -> MatrixLine:
    """The recipe of a model, a method and some GPUs, as a line of the matrix.

    Raises ConfigError for a method that is not known, and where nothing fits.
    """
    if method not in RATES:
        raise ConfigError(f"unknown method {method!r}; known: {', '.join(RATES)}")
    least = math.inf
    for candidate in _candidates(name, model, method, hardware):
        config = build(candidate, root).config
        needed = sum(_memory(config, model.shape, hardware).values())
        least = min(least, needed)
        if needed <= _SHARE * hardware.memory_gb * GIB:
            return _with_estimate(candidate, config, model, hardware, needed)
    raise ConfigError(
        f"{method} of {model.name} does not fit {hardware.text}: with 4-bit weights, LoRA and one "
        f"row at a time it needs about {least / GIB:.0f} GiB of {hardware.memory_gb} on each GPU; "
        "take more or larger GPUs, or a smaller model"
    )


def _candidates(name: str, model: Model, method: str, hardware: Hardware) -> Iterator[MatrixLine]:
    """What could be trained, the best first, each with the largest micro batch first."""
    gpus = hardware.gpus
    ways = [("lora", ""), ("qlora", "")]
    if gpus > 1:
        ways = [
            ("full", "zero2"),
            ("full", "zero3"),
            ("lora", ""),
            ("lora", "zero3"),
            ("qlora", ""),
        ]
    for adapter, sharding in ways:
        smallest = 2 if method == "kto" else 1
        micro = max(smallest, _power_of_two(_batch(model, method) / gpus))
        while micro >= smallest:
            yield _line(name, model, method, hardware, (adapter, sharding, micro))
            micro //= 2


def _batch(model: Model, method: str) -> int:
    is_packed = method in _GIVES_LOGITS and model.settings.get("sample_packing") is not False
    return _BATCH // (_ROWS_OF_A_WINDOW if is_packed else 1)


@dataclass
class _Choices:
    """Settings, and why each is what it is."""

    values: Row = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def choose(self, key: str, value: Any, reason: str = "") -> None:
        """Take a setting; one that another gives its sense needs no reason of its own."""
        self.values[key] = value
        if reason:
            self.reasons[key] = reason


def _line(
    name: str,
    model: Model,
    method: str,
    hardware: Hardware,
    way: tuple[str, str, int],
) -> MatrixLine:
    """The line of one way to train: adapter, sharding and micro batch."""
    adapter, sharding, micro = way
    choices = _Choices(dict(model.settings) if not model.layer else {})
    if adapter == "full":  # null takes a layer's setting away
        idle = [key for key in model.settings if key.startswith("lora_")]
        choices.values |= dict.fromkeys(idle)
    choose = choices.choose
    choose("learning_rate", *_rate(method, adapter, model.shape))
    batch = _batch(model, method)
    fits = "the most rows at once that fit, by the estimate"
    if micro * hardware.gpus > batch:
        fits = f"the least there is: so many GPUs take more than the {batch} rows of a step"
    choose("micro_batch_size", micro, fits)
    rest = batch // (micro * hardware.gpus)
    least = _GROUP // micro if method == "grpo" else 1
    choose("gradient_accumulation_steps", max(1, rest, least))
    if sharding:
        file = f"recipes/deepspeed/{sharding}.json"
        choose("deepspeed", file, _sharding_reason(adapter, sharding))
    _choose_saving(choices, method, adapter, sharding)
    _choose_for_layers(choices, model, adapter)
    _choose_kernels(choices, model, method)
    if method == "grpo":
        _choose_sampling(choices, model, hardware)
    layers = ["base", "hardware/gpu", f"adapter/{adapter}", f"gpu/{method}"]
    return MatrixLine(
        name=name,
        purpose=f"{method} of {model.layer or Path(model.name).name}, {_TRAINED[adapter]}",
        layers=tuple([*layers, f"model/{model.layer}"] if model.layer else layers),
        gpus=hardware.gpus,
        hardware=hardware.text,
        set=choices.values,
        reasons=choices.reasons,
        header={} if model.layer else dict(model.header),
    )


def _choose_sampling(choices: _Choices, model: Model, hardware: Hardware) -> None:
    trl: Row = {}
    reasons = []
    answer = _SAMPLED
    if model.header.get("thinks"):
        answer = trl["max_completion_length"] = 4 * _SAMPLED
        reasons.append("the model thinks before it answers")
    question = int(choices.values.get("sequence_len") or model.settings.get("sequence_len") or 0)
    if question + answer > model.window:
        answer = trl["max_completion_length"] = min(answer, model.window // 2)
        why = f"question and answer share the model's window of {model.window} tokens"
        choices.choose("sequence_len", model.window - answer, why)
        reasons.append(why)
    if hardware.gpus > 1:
        values = choices.values
        batch = values["micro_batch_size"] * values["gradient_accumulation_steps"]
        trl["generation_batch_size"] = batch * hardware.gpus
        reasons.append("all samples of a step at once: a group or more for each process")
    if trl:
        choices.choose("trl", trl, "; ".join(reasons))


def _choose_saving(choices: _Choices, method: str, adapter: str, sharding: str) -> None:
    if method == "dpo" and adapter == "full":
        choices.choose(
            "precompute_ref_log_probs",
            True,
            "else the reference is a second model in memory, and a pass more at every step",
        )
    if adapter == "full":
        choices.choose(
            "save_only_model", True, "optimizer states are 12 bytes a weight, for each checkpoint"
        )
        choices.choose("save_total_limit", 1)
        choices.choose("auto_resume_from_checkpoints", False, "needs the optimizer states")
    elif sharding or method == "pairwise-cot":
        if method in _CHOSEN_BY_LOSS:
            choices.choose(
                "load_best_model_at_end",
                True,
                "the checkpoint with the lowest loss on the dev pairs",
            )
    elif method != "grpo":
        judge = {"judge": SFT_JUDGES[method]} if method in SFT_JUDGES else {}
        choices.choose(
            "dev_accuracy",
            {"data": "outputs/pairs/dev.jsonl", "every": 0.1, **judge},
            "the dev pairs, judged as the trained judge will be; the best weights are kept",
        )


def _choose_for_layers(choices: _Choices, model: Model, adapter: str) -> None:
    if adapter == "full":
        return
    if model.kind not in _LORA_KINDS or model.shape.experts:
        reason = "Axolotl's LoRA kernels, on unless set to false, are for dense Llama-like layers"
        choices.choose("lora_mlp_kernel", False, reason)
        choices.choose("lora_qkv_kernel", False)
        choices.choose("lora_o_kernel", False)
    if model.shape.experts and adapter == "qlora":
        reason = "bitsandbytes itself leaves the experts as they are"
        choices.choose("quantize_moe_experts", True, reason)


def _choose_kernels(choices: _Choices, model: Model, method: str) -> None:
    if model.kind not in LIGER_KINDS or method == "grpo":
        return
    plugins = ["codefavor.training.plugins.RunPlugin", _LIGER]
    if method == "dpop":
        plugins.insert(1, "codefavor.training.plugins.DPOPPlugin")
    choices.choose("plugins", plugins, "Liger's kernels: less memory and time, the same numbers")
    choices.choose("liger_rope", True)
    choices.choose("liger_rms_norm", True)
    if model.kind in _NO_LIGER_LAYERS:
        return
    choices.choose("liger_glu_activation", True)
    if method in _GIVES_LOGITS:
        reason = "never all logits of the batch at once"
        choices.choose("liger_fused_linear_cross_entropy", True, reason)


def _rate(method: str, adapter: str, shape: ModelShape) -> tuple[float, str]:
    """The learning rate of one digit, and how it comes about."""
    published = RATES[method].full if adapter == "full" else RATES[method].lora
    factor = _size_factor(shape)
    rate = float(f"{published * factor:.1g}")
    if rate == published:
        return rate, RATES[method].source
    scaled = f"{published:g} times {factor:.2f} for this size, to one digit"
    return rate, f"{RATES[method].source}; {scaled}"


def _size_factor(shape: ModelShape) -> float:
    """Larger models take smaller steps: Tülu 3's rate at 70 billion is 0.4 of that at 8 billion."""
    return float(min(2.0, (8e9 / shape.parameters) ** 0.42))


def _sharding_reason(adapter: str, sharding: str) -> str:
    if sharding == "zero2":
        return "gradients and optimizer states are split: the weights fit each GPU whole"
    what = "weights, gradients and optimizer states" if adapter == "full" else "the weights below"
    return f"{what} are split: one GPU holds too little for the whole"


def _memory(config: Row, shape: ModelShape, hardware: Hardware) -> dict[str, float]:
    longest = int(config["sequence_len"])
    if method_of(config) == "grpo":
        longest += int(config["trl"]["max_completion_length"])
    return memory_per_gpu(config, shape, hardware.gpus, longest)


def _with_estimate(
    line: MatrixLine, config: Row, model: Model, hardware: Hardware, needed: float
) -> MatrixLine:
    disk = disk_space(config, model.shape)
    note = (
        f"by the estimate {needed / GIB:.0f} of {hardware.memory_gb} GiB on each GPU for rows of "
        f"{config['sequence_len']} tokens, and {_gigabytes(disk)} GB of disk"
    )
    notes = [*line.header.get("notes", []), note]
    if not model.layer and model.kind not in LIGER_KINDS:
        notes.append(
            f"without Liger's kernels, which are taken for {', '.join(sorted(LIGER_KINDS))}"
        )
    header = {**line.header, "notes": notes}
    return replace(line, header=header)


def _gigabytes(size: float) -> str:
    """A number of bytes in GB, with as many digits as say something."""
    return f"{size / 1e9:.{0 if size >= 1e10 else 1 if size >= 1e9 else 2}f}"


def _power_of_two(value: float) -> int:
    """The largest power of two that is not above a value, at least 1."""
    return int(2 ** max(0, math.floor(math.log2(max(1.0, value)))))
