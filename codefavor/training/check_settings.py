"""Values that only the trainer reads, and settings that contradict one another."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from codefavor.training.check_readers import SAMPLING_METHODS, known_losses
from codefavor.training.findings import Finding, at, error, number, unknown_name, warning
from codefavor.training.recipes import WITH_REFERENCE, method_of

# PEFT's names (LoraConfig.init_lora_weights); the number of iterations stands behind pissa.
_INITIALISATIONS = {
    "corda", "eva", "gaussian", "loftq", "lora_ga", "mica", "olora", "orthogonal", "pissa",
}  # fmt: skip
# TRL sorts the pairs of two of these, and cannot write the weights into what the third gives.
_NOT_WEIGHTED = {"aot", "aot_unpaired", "sft"}


def setting_findings(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Everything of this module that is wrong with a recipe."""
    method = method_of(config)
    loss = at(config, "trl.loss_type")
    if loss is not None and method == "grpo" and loss not in known_losses("grpo"):
        yield unknown_name("trl.loss_type", loss, known_losses("grpo"))
    start = config.get("peft_init_lora_weights")
    if isinstance(start, str) and not (
        start.lower() in _INITIALISATIONS or re.fullmatch(r"pissa_niter_\d+", start)
    ):
        yield unknown_name("peft_init_lora_weights", start, _INITIALISATIONS)
    share = number(config, "val_set_size")
    if share == 1 or (share and share > 1 and share != int(share)):
        yield error(
            f"val_set_size: {share:g} is neither a share below 1 nor a whole number of rows above "
            "1; write 0.05 for a twentieth of them"
        )
    if config.get("fsdp_version") not in (None, 1, 2):
        yield error(f"fsdp_version: {config['fsdp_version']} is unknown; write fsdp_version: 2")
    yield from _beta_findings(config, method)
    yield from _reference_findings(config)
    if config.get("precompute_ref_log_probs") and method not in WITH_REFERENCE:
        yield error(
            f"precompute_ref_log_probs: {method} has no reference whose log-probabilities could "
            "be computed; remove it"
        )
    yield from _weight_findings(config, method)
    # With a processor, of images, the collator makes the tokens.
    has_processor = bool(config.get("processor_type"))
    if config.get("skip_prepare_dataset") and method == "sft" and not has_processor:
        yield error(
            "skip_prepare_dataset: true leaves rows as they are, without tokens to train on; "
            "remove it"
        )
    if config.get("group_by_length") and config.get("curriculum_order"):
        yield error("group_by_length: true takes the rows out of curriculum_order; remove one")


def _reference_findings(config: Mapping[str, Any]) -> Iterator[Finding]:
    """A reference that is to follow the policy, where the trainer keeps none."""
    if not at(config, "trl.sync_ref_model"):
        return
    beta = number(config, "trl.beta")
    why = f"an adapter ({config['adapter']})" if config.get("adapter") else ""
    # Axolotl's and TRL's own weight is 0.
    why = why or ("" if beta or number(config, "rl_beta") else "beta: 0")
    if why:
        yield error(
            f"trl.sync_ref_model: true with {why}: there is no reference model that could follow, "
            "and the trainer refuses it; remove it"
        )


def _beta_findings(config: Mapping[str, Any], method: str) -> Iterator[Finding]:
    """Settings of sampling under a method that samples nothing, and two weights of the KL."""
    trl = config.get("trl")
    sampling = [key for key in trl if key != "beta"] if isinstance(trl, Mapping) else []
    if sampling and method not in SAMPLING_METHODS:
        yield error(
            f"trl: {', '.join(sampling)}: {method} samples nothing and does not read it; remove "
            "it, or write rl: grpo"
        )
    own, other = config.get("rl_beta"), at(config, "trl.beta")
    if own is not None and other is not None and own != other:
        yield error(f"rl_beta: {own} is ignored beside trl.beta: {other}; remove one of the two")


def _weight_findings(config: Mapping[str, Any], method: str) -> Iterator[Finding]:
    weights, losses = config.get("dpo_loss_weights"), config.get("dpo_loss_type")
    # cDPO is a sum in which the robust loss has a negative weight (smollm2-135m/dpo-conservative).
    pairs = zip(losses or [], weights or [], strict=False)
    for loss, weight in pairs if isinstance(losses, list) and isinstance(weights, list) else ():
        if _is_below_0(weight) and loss != "robust":
            yield error(
                f"dpo_loss_weights: {weight}: training makes the loss {loss!r} worse with a "
                "negative weight; weights are above 0"
            )
    is_weighted = bool(config.get("dpo_use_weighting"))
    unweighted = sorted(_NOT_WEIGHTED & set(losses)) if isinstance(losses, list) else []
    if is_weighted and unweighted:
        yield error(
            f"dpo_use_weighting: true fails in the trainer beside dpo_loss_type: "
            f"{', '.join(unweighted)}; remove one of the two"
        )
    if "DPOPTrainer" in str(config.get("trainer_cls")) and is_weighted:
        yield error(
            "dpo_use_weighting: true is ignored by DPOPTrainer, whose loss is DPOP; remove one"
        )
    if "DPOPTrainer" in str(config.get("trainer_cls")) and losses not in (None, ["sigmoid"]):
        yield error(
            f"dpo_loss_type: {losses} is ignored by DPOPTrainer, whose loss is DPOP; remove one"
        )
    if method not in {"grpo", "gdpo"}:
        return
    rewards, weights = at(config, "trl.reward_funcs") or [], at(config, "trl.reward_weights")
    twice = sorted({str(one) for one in rewards if rewards.count(one) > 1})
    if twice:
        yield warning(f"trl.reward_funcs: {', '.join(twice)} stands twice: it counts double")
    if isinstance(weights, list) and any(_is_below_0(one) for one in weights):
        yield warning(
            f"trl.reward_weights: {weights}: a negative weight pays for what its reward is low "
            "for, which is right for a penalty alone"
        )
    low, high = number(config, "trl.epsilon"), number(config, "trl.epsilon_high")
    low = 0.2 if low is None else low  # TRL's own
    if high is not None and high < low:
        yield error(
            f"trl.epsilon_high: {high:g} is below trl.epsilon {low:g}: better samples would be "
            "cut off sooner than worse ones are; DAPO has 0.28 beside 0.2"
        )


def _is_below_0(value: Any) -> bool:
    return isinstance(value, (int, float)) and value < 0
