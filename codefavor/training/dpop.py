"""The DPOP trainer; named in a recipe as `trainer_cls: codefavor.training.dpop.DPOPTrainer`.

Source: Pal et al. 2024, "Smaug: Fixing Failure Modes of Preference Optimisation with
DPO-Positive" (arXiv 2402.13228).
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from axolotl.core.trainers.dpo.trainer import AxolotlDPOTrainer
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.utils import use_adapter

from codefavor.training.losses import DPOP_FORMS, DpopForm, PairLogps, completion_logps, dpop_loss

_NOT_FOR_MODEL = {"completion_mask", "ref_chosen_logps", "ref_rejected_logps"}


class DPOPTrainer(AxolotlDPOTrainer):  # type: ignore[misc]
    """DPO whose loss is DPOP's; keys `dpop_lambda` and `dpop_form` (paper or additive).

    They reach it through `plugins: [codefavor.training.plugins.DPOPPlugin]`.
    """

    tag_names: ClassVar[list[str]] = ["codefavor", "dpop"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        weight: float | None = getattr(self.args, "dpop_lambda", None)
        form = getattr(self.args, "dpop_form", None) or "paper"
        if weight is None or weight < 0:
            raise ValueError(
                "DPOPTrainer needs dpop_lambda >= 0 in the recipe, and "
                "codefavor.training.plugins.DPOPPlugin in its plugins to carry it"
            )
        if form not in DPOP_FORMS:
            raise ValueError(f"dpop_form is {form!r}; known: {', '.join(DPOP_FORMS)}")
        self.dpop_lambda: float = weight
        self.dpop_form: DpopForm = form

    def _compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool) -> Any:
        model_inputs = {key: value for key, value in inputs.items() if key not in _NOT_FOR_MODEL}
        model_inputs["use_cache"] = False
        outputs = model(**model_inputs)
        policy = completion_logps(outputs.logits, inputs["input_ids"], inputs["completion_mask"])
        chosen, rejected = policy.chunk(2)  # a batch is all chosen rows, then all rejected ones
        logps = PairLogps(chosen, rejected, *self._reference_logps(model, inputs, model_inputs))
        result = dpop_loss(
            logps, beta=self.beta, penalty_weight=self.dpop_lambda, form=self.dpop_form
        )
        self._log_batch(logps, result.penalties, inputs)
        loss = result.losses.mean()
        return (loss, outputs) if return_outputs else loss

    def _reference_logps(
        self, model: Any, inputs: dict[str, Any], model_inputs: dict[str, Any]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The reference's log-probabilities: stored ones, a second model, or no adapter."""
        if "ref_chosen_logps" in inputs:
            return inputs["ref_chosen_logps"], inputs["ref_rejected_logps"]
        checkpointing = self.args.gradient_checkpointing_kwargs
        with torch.no_grad(), disable_gradient_checkpointing(self.model, checkpointing):
            if self.ref_model is None:
                bare = self.accelerator.unwrap_model(model)
                # An adapter that was trained before is kept beside the new one as "ref".
                name = "ref" if "ref" in bare.peft_config else None
                with use_adapter(bare, adapter_name=name):
                    logits = self.model(**model_inputs).logits
            else:
                logits = self.ref_model(**model_inputs).logits
        reference = completion_logps(logits, inputs["input_ids"], inputs["completion_mask"])
        chosen, rejected = reference.chunk(2)
        return chosen, rejected

    def _log_batch(self, logps: PairLogps, penalties: torch.Tensor, inputs: dict[str, Any]) -> None:
        chosen_rewards = self.beta * (logps.chosen - logps.reference_chosen).detach()
        rejected_rewards = self.beta * (logps.rejected - logps.reference_rejected).detach()
        self._log_mean("rewards/chosen", chosen_rewards)
        self._log_mean("rewards/rejected", rejected_rewards)
        self._log_mean("rewards/accuracies", (chosen_rewards > rejected_rewards).float())
        self._log_mean("rewards/margins", chosen_rewards - rejected_rewards)
        self._log_mean("logps/chosen", logps.chosen.detach())
        self._log_mean("logps/rejected", logps.rejected.detach())
        self._log_mean("dpop/penalty", penalties.detach())
        if self.model.training:
            seen = self.accelerator.gather_for_metrics(inputs["attention_mask"].sum()).sum()
            self._total_train_tokens += seen.item()
            self._metrics["train"]["num_tokens"] = [self._total_train_tokens]

    def _log_mean(self, name: str, values: torch.Tensor) -> None:
        mode = "train" if self.model.training else "eval"
        self._metrics[mode][name].append(self.accelerator.gather(values).mean().item())
