"""What the libraries' own classes refuse, asked by making them: loaders, names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from codefavor.training.check_readers import one_line, quiet
from codefavor.training.findings import Finding, error, unknown_name

_LOADER = ("num_workers", "prefetch_factor", "pin_memory")
# Keys that name a class of transformers; Axolotl looks them up when it loads.
_CLASS_KEYS = ("model_type", "tokenizer_type", "processor_type")
# What only LoRA's layers read.
_ADAPTER_KEYS = ("lora_", "loraplus_", "peft_")


def class_findings(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Everything that a class of torch, transformers, wandb or the Hub refuses in a recipe."""
    yield from _loader_findings(config)
    yield from _named_class_findings(config)
    yield from _tracker_findings(config)
    yield from adapter_findings(config)


def _loader_findings(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Sizes of a batch and numbers of workers that torch's loader refuses."""
    from torch.utils.data import DataLoader

    workers: dict[str, Any] = {
        name: config[f"dataloader_{name}"]
        for name in _LOADER
        if config.get(f"dataloader_{name}") is not None
    }
    make: Any = DataLoader
    asked: list[tuple[str, dict[str, Any]]] = []
    asked.append(("eval_batch_size", {"batch_size": config.get("eval_batch_size")}))
    asked += [(", ".join(f"dataloader_{name}" for name in workers), workers)] if workers else []
    for key, settings in asked:
        if None in settings.values():
            continue
        try:
            make([0], **settings)
        except (TypeError, ValueError) as problem:
            values = ", ".join(map(str, settings.values()))
            yield error(f"{key}: {values} is refused by the data loader: {one_line(problem)}")


def _named_class_findings(config: Mapping[str, Any]) -> Iterator[Finding]:
    import transformers

    for key in _CLASS_KEYS:
        name = config.get(key)
        if name is None or config.get("trust_remote_code"):
            continue
        ends = "Tokenizer" if key == "tokenizer_type" else "For"
        known = [one for one in dir(transformers) if ends in one] if key != "processor_type" else []
        if not hasattr(transformers, str(name)):
            yield unknown_name(key, name, known)


def _tracker_findings(config: Mapping[str, Any]) -> Iterator[Finding]:
    if mode := config.get("wandb_mode"):
        try:
            with quiet():
                from wandb import Settings
            known = get_args(Settings.model_fields["mode"].annotation)
        except (ImportError, KeyError, AttributeError):
            known = ()
        if known and mode not in known:
            yield unknown_name("wandb_mode", mode, map(str, known))
    if (logged := config.get("wandb_log_model")) is not None:
        from transformers.integrations.integration_utils import WandbLogModel

        names = {str(one.value) for one in WandbLogModel}
        if str(logged).lower() not in names:
            yield unknown_name("wandb_log_model", logged, names)
    if name := config.get("hub_model_id"):
        from huggingface_hub.errors import HFValidationError
        from huggingface_hub.utils._validators import validate_repo_id

        try:
            validate_repo_id(str(name))
        except HFValidationError as problem:
            yield error(f"hub_model_id: {name!r} is refused by the Hub: {one_line(problem)}")


def adapter_findings(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Settings of LoRA without an adapter, and an adapter that is put on nothing."""
    adapter = config.get("adapter")
    idle = [key for key in config if key.startswith(_ADAPTER_KEYS) and config[key]]
    if not adapter and idle:
        yield error(
            f"{', '.join(idle)}: nothing reads this without an adapter, so all weights would be "
            "trained; write adapter: lora (or qlora), or remove it"
        )
    named = ("lora_target_modules", "lora_target_linear", "lora_target_parameters")
    if adapter in {"lora", "qlora"} and not any(config.get(key) for key in named):
        yield error(
            f"lora_target_modules: missing beside adapter: {adapter}, so that the adapter is on no "
            "layer that is named; write lora_target_modules, or lora_target_linear: true"
        )
