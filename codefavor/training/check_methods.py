"""Which keys of a recipe its method reads, and those that it leaves aside in silence."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from codefavor.training.check_readers import one_line, quiet
from codefavor.training.findings import Finding, at, error, number, warning
from codefavor.training.recipes import PREFERENCES, method_of


class _Key(NamedTuple):
    """The methods that read a key; `is_harmless` where the same is trained without it."""

    methods: tuple[str, ...]
    is_harmless: bool = False


# Source: Axolotl's core/builders (rl.py, causal.py) and core/trainers/dpo.
READ_BY: dict[str, _Key] = {
    "center_rewards_coefficient": _Key(("reward",)),
    "cpo_alpha": _Key(("simpo",)),
    "do_causal_lm_eval": _Key(("sft",), is_harmless=True),
    "dpo_label_smoothing": _Key(("dpo",)),
    "dpo_loss_type": _Key(("dpo",)),
    "dpo_loss_weights": _Key(("dpo",)),
    "dpo_use_weighting": _Key(("dpo", "ipo")),
    "kto_desirable_weight": _Key(("kto",)),
    "kto_undesirable_weight": _Key(("kto",)),
    "num_labels": _Key(("reward", "process_reward")),
    "orpo_alpha": _Key(("orpo",)),
    "rl_beta": _Key((*PREFERENCES, "grpo", "gdpo", "ebft")),
    "simpo_gamma": _Key(("simpo",)),
}
# Keys without which another loss is trained under the method's name: what to write, and why.
_NEEDED: tuple[tuple[str, str, float, str], ...] = (
    ("simpo", "cpo_alpha", 0.0, "TRL adds 1.0 of the chosen answer's likelihood (CPO-SimPO)"),
    ("simpo", "simpo_gamma", 1.0, "the first step fails"),
    ("simpo", "rl_beta", 2.0, "TRL takes 0.1, at which lengths and margin count for nothing"),
    ("dpop", "dpop_lambda", 50.0, "the trainer fails once the model is loaded"),
)
_HEADS = ("ForSequenceClassification", "ForTokenClassification")


def method_key_findings(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Keys that are another method's, that are overridden, or that nothing reads."""
    method = method_of(config)
    for key, one in READ_BY.items():
        value = config.get(key)
        if value is None or value is False or method in one.methods:
            continue
        text = f"{key}: {value} is ignored by {method}; it is a setting of {_owners(one)}; remove"
        text += f" it, or train {one.methods[0]}"
        yield warning(text) if one.is_harmless else error(text)
    yield from _needed_findings(config, method)
    yield from _weight_findings(config, method)
    head = str(config.get("model_type") or "")
    if method not in ("reward", "process_reward") and head.endswith(_HEADS):
        yield error(
            f"model_type: {head} has a score head and no head for words, which {method} trains; "
            "remove it, or write reward_model: true"
        )
    if config.get("dpo_padding_free"):
        yield warning(
            "dpo_padding_free: true is switched off again by the installed TRL, which pads all the "
            "same; remove it"
        )
    if config.get("default_system_message") and config.get("chat_template") != "chatml":
        yield warning(
            "default_system_message: Axolotl writes it into chat_template: chatml alone, and this "
            "recipe has another; write the system turn in the rows"
        )
    yield from _scheduler_findings(config)


def _needed_findings(config: Mapping[str, Any], method: str) -> Iterator[Finding]:
    name = "dpop" if "DPOPTrainer" in str(config.get("trainer_cls")) else method
    for owner, key, usual, without in _NEEDED:
        value = config.get(key)
        if key == "rl_beta" and value is None:
            value = at(config, "trl.beta")
        if owner == name and value is None:
            yield error(
                f"{key}: missing under {name}: without it {without}; write {key}: {usual:g}"
            )


def _owners(key: _Key) -> str:
    return ", ".join(key.methods[:4]) + (" and others" if len(key.methods) > 4 else "")


def _weight_findings(config: Mapping[str, Any], method: str) -> Iterator[Finding]:
    """Under ORPO three keys name one weight, and the one named after it counts last."""
    own = config.get("orpo_alpha")
    taken = at(config, "trl.beta")
    key, other = ("rl_beta", config.get("rl_beta")) if taken is None else ("trl.beta", taken)
    if method == "orpo" and own is not None and other is not None and own != other:
        yield error(
            f"orpo_alpha: {own} is ignored beside {key}: {other}, which Axolotl takes in its "
            f"place as the weight of the odds ratio; remove {key}"
        )


def _scheduler_findings(config: Mapping[str, Any]) -> Iterator[Finding]:
    warm = next((key for key in ("warmup_steps", "warmup_ratio") if number(config, key)), None)
    if config.get("lr_scheduler") == "constant" and warm:
        yield warning(
            f"{warm}: {config[warm]} is ignored by lr_scheduler: constant; write "
            "constant_with_warmup, or remove it"
        )


def start_findings(config: Mapping[str, Any]) -> Iterator[Finding]:
    """What peft and the trainer refuse when they are made, after the model was loaded."""
    is_new = config.get("adapter") in {"lora", "qlora"} and not config.get("lora_model_dir")
    if is_new and config.get("lora_alpha") is None:
        yield error(
            f"lora_alpha: missing beside adapter: {config['adapter']}, and peft divides it by "
            f"lora_r; write lora_alpha: {2 * int(number(config, 'lora_r') or 16)}"
        )
    start = config.get("peft_init_lora_weights")
    has_bits = at(config, "peft.loftq_config.loftq_bits") is not None
    if is_new and start is not None and (problem := _start_problem(start, has_bits)):
        yield error(f"peft_init_lora_weights: {start!r} is refused by peft: {problem}")
    optimizer = str(config.get("optimizer") or "")
    if optimizer.startswith(("galore_", "apollo_")) and not config.get("optim_target_modules"):
        yield error(
            f"optim_target_modules: missing beside optimizer: {optimizer}, which fails without "
            "it once the model is loaded; write optim_target_modules: all_linear"
        )


@functools.cache
def _start_problem(start: Any, has_bits: bool) -> str:
    """Why peft cannot begin an adapter in this way, asked on one small layer; "" where it can."""
    import torch
    from peft import LoftQConfig, LoraConfig, get_peft_model

    layer: Any = torch.nn.Sequential(torch.nn.Linear(32, 32))
    own: dict[str, Any] = {"loftq_config": LoftQConfig(loftq_bits=4)} if has_bits else {}
    try:
        with quiet(), torch.random.fork_rng():
            config = LoraConfig(r=2, target_modules=["0"], init_lora_weights=start, **own)
            if not has_bits:  # quantising takes bitsandbytes
                get_peft_model(layer, config)
    except (ImportError, TypeError, ValueError) as problem:
        return one_line(problem)[:160]
    return ""
