"""Settings that train nothing, no preference, or another model than is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from codefavor.training.check_readers import SAMPLING_METHODS
from codefavor.training.findings import Finding, at, entries_of, error, number, warning
from codefavor.training.recipes import method_of

# What of a model's configuration may differ from what its weights were trained with: its window,
# how it is run, and what is random in training. Everything else makes another model of them.
_OVERRIDES = {
    "attention_dropout", "bos_token_id", "embd_pdrop", "eos_token_id", "hidden_dropout",
    "max_position_embeddings", "output_router_logits", "pad_token_id", "resid_pdrop",
    "rope_parameters", "rope_scaling", "rope_theta", "router_aux_loss_coef", "sliding_window",
    "use_cache", "use_sliding_window",
}  # fmt: skip
# Losses that look at the chosen answer alone.
_NO_PREFERENCE = {"sft"}
# With these the samples of one question are all equal, so that none is better than its group.
_EQUAL_SAMPLES = {
    "trl.top_k": 1,
    "trl.min_p": 1,
    "trl.generation_kwargs.do_sample": False,
    "trl.generation_kwargs.top_k": 1,
    "trl.generation_kwargs.temperature": 0,
}
# A program of fewer tokens is rare.
_SHORT_COMPLETION = 64
# The rates in use of optimizers whose steps are not of the length of Adam's, of all weights and of
# an adapter. Sources: Chen et al. 2023 (Lion: a third to a tenth of AdamW's), Jordan et al. 2024
# (Muon: 0.02); the steps of SGD are as short as the gradients are.
_RATES = {
    "sgd": ((1e-3, 10.0), (1e-3, 10.0)),
    "lion": ((1e-9, 1e-4), (1e-8, 5e-4)),
    "muon": ((1e-4, 0.1), (1e-4, 0.1)),
}
_HIGHEST_RATE = 0.1


def idle_findings(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Everything of this module that is wrong with a recipe."""
    for key in config.get("overrides_of_model_config") or {}:
        if key not in _OVERRIDES:
            yield error(
                f"overrides_of_model_config.{key}: {config['overrides_of_model_config'][key]} makes"
                f" another model of the weights of {config.get('base_model')}, which were trained "
                "with its own value; remove it"
            )
    yield from _loss_findings(config)
    yield from _sampling_findings(config)
    yield from _rate_findings(config)
    shortest, window = number(config, "min_sample_len"), number(config, "sequence_len")
    if shortest and window and shortest > window:
        yield error(
            f"min_sample_len: {shortest:g} is above sequence_len {window:g}: no row is left to "
            "train on; remove it"
        )
    for key, entry in entries_of(config):
        yield from _side_findings(key, entry)


def _loss_findings(config: Mapping[str, Any]) -> Iterator[Finding]:
    losses = config.get("dpo_loss_type")
    if method_of(config) != "dpo" or not isinstance(losses, list) or not losses:
        return
    weights = config.get("dpo_loss_weights") or [1.0] * len(losses)
    counted = {loss for loss, weight in zip(losses, weights, strict=False) if weight}
    if counted <= _NO_PREFERENCE:
        yield error(
            f"dpo_loss_type: {losses} with weights {weights}: rejected answers count for nothing, "
            "so no preference is trained; add sigmoid with a weight above 0, or train sft"
        )


def _sampling_findings(config: Mapping[str, Any]) -> Iterator[Finding]:
    if method_of(config) not in SAMPLING_METHODS:
        return
    for key, value in _EQUAL_SAMPLES.items():
        given = at(config, key)
        if given is not None and given == value and isinstance(given, bool) == (value is False):
            yield error(
                f"{key}: {given}: all samples of one question are equal, so none is better than "
                "another and nothing is trained; remove it"
            )
    longest = number(config, "trl.max_completion_length")
    if at(config, "trl.mask_truncated_completions") and longest and longest < _SHORT_COMPLETION:
        yield error(
            f"trl.mask_truncated_completions: true beside max_completion_length {longest:g}: "
            "nearly every program is cut there, and what is cut trains nothing; write 512 or more"
        )


def _rate_findings(config: Mapping[str, Any]) -> Iterator[Finding]:
    groups = config.get("lr_groups")
    own = [("embedding_lr", number(config, "embedding_lr"))]
    own += [
        (f"lr_groups.{one.get('name')}.lr", number(one, "lr"))
        for one in (groups if isinstance(groups, list) else [])
        if isinstance(one, Mapping)
    ]
    for key, value in own:
        if value is not None and not 0 < value < _HIGHEST_RATE:
            yield error(
                f"{key}: {value:g} is not between 0 and {_HIGHEST_RATE:g}: it is a rate of "
                "its own, no factor; write one near learning_rate"
            )
    rate, optimizer = number(config, "learning_rate"), str(config.get("optimizer") or "")
    name = next((one for one in _RATES if one in optimizer), None)
    if rate is None or name is None:
        return
    low, high = _RATES[name][bool(config.get("adapter"))]
    if not low <= rate <= high:
        says = "hardly moves a weight" if rate < low else "moves every weight too far"
        yield warning(
            f"learning_rate: {rate:g} {says} under optimizer: {optimizer}, whose steps are not of "
            f"the length of Adam's; in use are {low:g} to {high:g}"
        )


def _side_findings(key: str, entry: Mapping[str, Any]) -> Iterator[Finding]:
    """Both sides of a pair read from one column, or each from the other's."""
    kind = entry.get("type")
    named = kind if isinstance(kind, Mapping) else entry
    good = str(named.get("field_chosen") or "chosen")
    bad = str(named.get("field_rejected") or "rejected")
    if good == bad:
        yield error(
            f"{key}: field_chosen and field_rejected are both {good!r}: the sides are equal, so "
            "nothing is trained; name the column of the rejected answer"
        )
    elif (good, bad) == ("rejected", "chosen"):
        yield error(
            f"{key}: field_chosen: rejected, field_rejected: chosen: the worse answer would be "
            "preferred; exchange them"
        )
    for side in ("chosen", "rejected", "prompt", "completion"):
        form = named.get(f"{side}_format")
        if isinstance(kind, Mapping) and form and f"{{{side}}}" not in str(form):
            yield error(f"{key}: {side}_format: {form!r} lacks {{{side}}}, which it is filled with")
