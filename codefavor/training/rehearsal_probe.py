"""What a rehearsal sees inside Axolotl's process: every batch, its loss, and what it should be.

Named in `plugins:` by `rehearsal.py`. The losses are written here from their papers, in float64, on
the model's own logits, and share no code with the trainers.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partialmethod
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch
from axolotl.integrations.base import BasePlugin
from torch.nn import functional
from transformers import TrainerCallback

from codefavor.records import Row
from codefavor.training.recipes import method_of
from codefavor.training.stand_in import hide_gpu_kernels

PROBE_FILE = "rehearsal.jsonl"
IGNORED_LABEL = -100
# How much of the routers' loss TRL adds to that of GRPO; no key of Axolotl says otherwise.
_ROUTER_SHARE = 0.001


class Batch(NamedTuple):
    """Token sequences of one batch, [rows, tokens]; `trained` marks the tokens with a loss.

    Of pairs, the chosen rows come first, then the rejected ones in the same order. `labels` are
    a process model's, or KTO's of each row, or the rewards of each sample.
    """

    ids: torch.Tensor
    mask: torch.Tensor
    trained: torch.Tensor
    labels: torch.Tensor | None = None


class RehearsalPlugin(BasePlugin):  # type: ignore[misc]
    """Writes PROBE_FILE: what the model is and trains, a line for every batch, and the end."""

    def register(self, cfg: Any) -> None:
        """Is called before any model is imported, and before the rows are read."""
        hide_gpu_kernels()
        # Else a process is started for eight rows, and imports everything once more.
        rows: Any = import_module("datasets").Dataset
        rows.save_to_disk = partialmethod(_save_here, rows.save_to_disk)

    def add_callbacks_post_trainer(self, cfg: Any, trainer: Any) -> list[Any]:
        """Puts itself between the trainer and its loss."""
        return [Probe(cfg, trainer)]


class Probe(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Compares the loss of every batch with the reference formula, before the step is made."""

    def __init__(self, cfg: Any, trainer: Any) -> None:
        # As plain values: the schema makes enumerations of some.
        self.config: Row = json.loads(json.dumps(cfg.to_dict(), default=str))
        self.method = method_of(self.config)
        self.model = trainer.model
        self.is_adapter = hasattr(self.model, "disable_adapter")
        self.reference = None if self.is_adapter else copy.deepcopy(self.model).eval()
        self.path = Path(cfg.output_dir) / PROBE_FILE
        self.trainer = trainer
        self.compute_loss = trainer.compute_loss
        trainer.compute_loss = self.observe
        if self.method == "grpo":
            Samples(trainer, self.config)
        self.gain = 0.0
        trained = [name for name, one in self.model.named_parameters() if one.requires_grad]
        bare = self.model.get_base_model() if self.is_adapter else self.model
        self._write({"model": type(bare).__name__, "trained": trained, **_modules(bare)})

    def observe(self, model: Any, inputs: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """The trainer's loss of a batch, as it is; the batch and the reference loss are noted."""
        seen = dict(inputs)
        with torch.no_grad():
            pad = self.model.config.get_text_config().pad_token_id
            batch = read_batch(self.method, seen, pad)
            self.before = self._logps(batch) if self.method == "grpo" else None
            expected = self._expected(batch, seen)
        self.last = batch
        result = self.compute_loss(model, inputs, *args, **kwargs)
        loss = result[0] if isinstance(result, tuple) else result
        self._write(
            {
                "step": self.trainer.state.global_step,
                "loss": float(loss),
                "expected": float(expected),
                "sequences": list(_sequences(batch)),
            }
        )
        return result

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """How much likelier a step of GRPO made the samples that were better than their group."""
        if self.before is not None:
            with torch.no_grad():
                change = self._logps(self.last) - self.before
            self.gain += float((change * self.advantages).sum())

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """What the trained model, as it is saved, gives for each sequence of the last batch.

        A reward, or the log-probability of the trained tokens; nothing for a process model.
        """
        if self.method == "process_reward":
            return
        with torch.no_grad():
            is_reward = self.method == "reward"
            values = self._outputs(self.last)[:, 0] if is_reward else self._logps(self.last)
        self._write(
            {"values": values.tolist(), "sequences": list(_sequences(self.last)), "gain": self.gain}
        )

    def _expected(self, batch: Batch, inputs: Mapping[str, Any]) -> torch.Tensor:
        if self.method == "reward":
            rewards = self._outputs(batch)[:, 0]
            chosen, rejected = rewards.chunk(2)
            weight = float(self.config.get("center_rewards_coefficient") or 0.0)
            centred = weight * ((chosen + rejected) ** 2).mean()
            return -functional.logsigmoid(chosen - rejected).mean() + centred
        if self.method == "process_reward":
            assert batch.labels is not None
            logits = self._outputs(batch)
            return functional.cross_entropy(logits[batch.trained], batch.labels[batch.trained])
        policy = self._logps(batch)
        if self.method == "sft":
            return -policy.sum() / batch.trained[:, 1:].sum()
        if self.method == "grpo":
            return self._grpo(batch, inputs)
        if self.method == "kto":
            return self._kto(policy, batch, inputs)
        return self._pairs(policy, batch)

    def _pairs(self, policy: torch.Tensor, batch: Batch) -> torch.Tensor:
        lengths = batch.trained[:, 1:].sum(1).double()
        chosen = policy.chunk(2)[0]
        mean_chosen, mean_rejected = (policy / lengths).chunk(2)
        # What the recipe says: Axolotl takes rl_beta before ORPO's own key.
        own, other = "rl_beta", "orpo_alpha"
        if self.method == "orpo":
            own, other = other, own
        beta = float(self.config.get(own) or self.config.get(other) or 0.0)
        if self.method == "simpo":
            gamma = float(self.config.get("simpo_gamma") or 0.0)
            return -functional.logsigmoid(beta * (mean_chosen - mean_rejected) - gamma).mean()
        if self.method == "orpo":
            # The supervised part is taken on the question as well, as its authors' code does.
            whole = batch._replace(trained=batch.mask)
            nll = -self._logps(whole).chunk(2)[0].sum() / batch.mask[:, 1:].chunk(2)[0].sum()
            odds = _log_odds(mean_chosen) - _log_odds(mean_rejected)
            return nll - beta * functional.logsigmoid(odds).mean()
        reference = self._logps(batch, is_reference=True)
        ratios = (policy - reference).chunk(2)
        means = ((policy - reference) / lengths).chunk(2)
        if self.config.get("dpop_lambda") is not None:
            return self._dpop(ratios[0], ratios[1], beta)
        own_loss = "ipo" if self.method == "ipo" else "sigmoid"
        losses = self.config.get("dpo_loss_type") or [own_loss]
        is_weighted = bool(self.config.get("dpo_use_weighting"))
        share = self._wpo_weights(batch) if is_weighted else torch.ones_like(chosen)
        weights = self.config.get("dpo_loss_weights") or [1.0] * len(losses)
        margin, mean_margin = ratios[0] - ratios[1], means[0] - means[1]
        smoothing = float(self.config.get("dpo_label_smoothing") or 0.0)
        right, wrong = -functional.logsigmoid(beta * margin), -functional.logsigmoid(-beta * margin)
        conservative = right * (1 - smoothing) + wrong * smoothing
        if set(losses) == {"sigmoid", "robust"}:  # how a recipe writes cDPO
            return (share * conservative).mean()
        values = {
            "sigmoid": conservative,
            "ipo": (mean_margin - 1 / (2 * beta)) ** 2,
            "robust": ((1 - smoothing) * right - smoothing * wrong) / (1 - 2 * smoothing),
            "sigmoid_norm": -functional.logsigmoid(beta * mean_margin),
            "sft": -chosen.sum() / lengths.chunk(2)[0].sum(),
        }
        pairs = zip(weights, losses, strict=True)
        return torch.stack([float(w) * (share * values[loss]).mean() for w, loss in pairs]).sum()

    def _wpo_weights(self, batch: Batch) -> torch.Tensor:
        """How likely the policy itself would write both sides of a pair, of shape [pairs].

        Source: Zhou et al. 2024 (arXiv 2406.11827), eq. 2, with its alignment of weights: the
        probability of each token over the sum of the squares of all, as a geometric mean.
        """
        logps = self._outputs(batch)[:, :-1].log_softmax(-1)
        own = logps.gather(-1, batch.ids[:, 1:, None])[..., 0] - (2 * logps).logsumexp(-1)
        trained = batch.trained[:, 1:]
        chosen, rejected = ((own * trained).sum(1) / trained.sum(1)).exp().chunk(2)
        return chosen * rejected

    def _dpop(self, chosen: torch.Tensor, rejected: torch.Tensor, beta: float) -> torch.Tensor:
        penalty = float(self.config["dpop_lambda"]) * (-chosen).clamp(min=0.0)
        if self.config.get("dpop_form") == "additive":
            return (-functional.logsigmoid(beta * (chosen - rejected)) + penalty).mean()
        return -functional.logsigmoid(beta * (chosen - rejected - penalty)).mean()

    def _kto(self, policy: torch.Tensor, batch: Batch, inputs: Mapping[str, Any]) -> torch.Tensor:
        assert batch.labels is not None
        ratios = policy - self._logps(batch, is_reference=True)
        other = read_batch("dpo", {name[3:]: inputs[name] for name in inputs if name[:3] == "KL_"})
        drift = self._logps(other) - self._logps(other, is_reference=True)
        divergence = drift.mean().clamp(min=0.0)
        beta = float(self.config["rl_beta"])
        good = 1 - torch.sigmoid(beta * (ratios - divergence))
        bad = 1 - torch.sigmoid(beta * (divergence - ratios))
        good = good * float(self.config.get("kto_desirable_weight") or 1.0)
        bad = bad * float(self.config.get("kto_undesirable_weight") or 1.0)
        return torch.where(batch.labels.bool(), good, bad).mean()

    def _grpo(self, batch: Batch, inputs: Mapping[str, Any]) -> torch.Tensor:
        """Of samples of the very model that is trained, so that its ratio to the sampler is 1."""
        settings = self.config["trl"]
        advantages: torch.Tensor = inputs[Samples.KEY][:, -1].double()
        self.advantages = advantages
        mask = batch.trained[:, 1:].double()
        logps = self._token_logps(batch)
        drift = self._token_logps(batch, is_reference=True) - logps
        penalty = float(settings.get("beta") or 0.0) * (drift.exp() - drift - 1)
        losses: torch.Tensor = (penalty - advantages[:, None]) * mask
        kind = settings.get("loss_type") or "dapo"
        if kind == "grpo":
            return (losses.sum(1) / mask.sum(1)).mean()
        if kind == "dr_grpo":
            return losses.sum() / (len(losses) * float(settings["max_completion_length"]))
        assert kind in {"bnpo", "dapo"}, kind
        return losses.sum() / mask.sum() + _ROUTER_SHARE * self.router_loss(batch)

    def router_loss(self, batch: Batch) -> torch.Tensor | float:
        """How unevenly a mixture's experts are asked, over all layers; 0 for a dense model.

        Source: Fedus et al. 2021 (arXiv 2101.03961), eq. 4 to 6, without their factor alpha.
        """
        settings = self.model.config.get_text_config()
        if getattr(settings, "output_router_logits", None) is None:
            return 0.0
        layers = self._run(batch, output_router_logits=True).router_logits
        each = [layer.double().softmax(-1)[batch.mask.reshape(-1)] for layer in layers]
        shares = torch.cat(each)
        places = shares.topk(settings.num_experts_per_tok).indices
        asked = torch.zeros_like(shares).scatter(1, places, 1.0)
        return shares.shape[1] * (asked.mean(0) * shares.mean(0)).sum()

    def _outputs(self, batch: Batch, *, is_reference: bool = False) -> torch.Tensor:
        """The model's outputs in float64."""
        logits: torch.Tensor = self._run(batch, is_reference=is_reference).logits.double()
        return logits

    def _run(self, batch: Batch, *, is_reference: bool = False, **asked: bool) -> Any:
        """What the model gives for a batch as it judges: without dropout."""
        model = self.model
        context: AbstractContextManager[Any] = nullcontext()
        if is_reference and self.reference is not None:
            model = self.reference
        elif is_reference:
            context = self.model.disable_adapter()
        was_training = model.training
        model.eval()
        with context:
            found = model(batch.ids, attention_mask=batch.mask.long(), use_cache=False, **asked)
        model.train(was_training)
        return found

    def _logps(self, batch: Batch, *, is_reference: bool = False) -> torch.Tensor:
        """The summed log-probability of the trained tokens of every row."""
        return (self._token_logps(batch, is_reference=is_reference) * batch.trained[:, 1:]).sum(1)

    def _token_logps(self, batch: Batch, *, is_reference: bool = False) -> torch.Tensor:
        logits = self._outputs(batch, is_reference=is_reference)[:, :-1]
        return logits.log_softmax(-1).gather(-1, batch.ids[:, 1:, None])[..., 0]

    def _write(self, row: Row) -> None:
        with open(self.path, "a", encoding="utf-8") as handle:
            handle.write(json.dumps(row) + "\n")


def _save_here(rows: Any, save: Any, folder: str, **options: Any) -> None:
    save(rows, folder, **{**options, "num_proc": None})


class Samples:
    """Lays beside the samples of GRPO what each was paid, and its advantage as the paper has it.

    The trainer mixes them before it trains on them.
    """

    KEY = "rehearsal_rewards"

    def __init__(self, trainer: Any, config: Row) -> None:
        self._reward, self._sample = (
            trainer._calculate_rewards,
            trainer._generate_and_score_completions,
        )
        trainer._calculate_rewards = self._rewards
        trainer._generate_and_score_completions = self._samples
        settings = config["trl"]
        self._size = int(settings["num_generations"])
        self._weights = settings.get("reward_weights") or [1.0] * len(settings["reward_funcs"])

    def _rewards(self, *args: Any) -> torch.Tensor:
        paid: torch.Tensor = self._reward(*args)
        self._paid = paid
        return paid

    def _samples(self, inputs: Any) -> Row:
        found: Row = self._sample(inputs)
        total = (self._paid.double() * torch.tensor(self._weights)).sum(1)
        groups = total.view(-1, self._size)
        # The paper divides by the deviation; the small number is for groups that are all alike.
        spread = groups.std(1, keepdim=True) + 1e-4
        advantages = (groups - groups.mean(1, keepdim=True)) / spread
        found[self.KEY] = torch.cat([self._paid.double(), advantages.view(-1, 1)], 1)
        return found


def read_batch(method: str, inputs: Mapping[str, Any], pad: int | None = None) -> Batch:
    """The token sequences of a trainer's batch, whatever its keys are called.

    A reward is read at the last token that is not `pad`, whatever the mask says.
    """
    if method in {"simpo", "orpo"}:
        sides = [
            Batch(
                inputs[f"{side}_input_ids"],
                inputs[f"{side}_attention_mask"].bool(),
                inputs[f"{side}_labels"] != IGNORED_LABEL,
            )
            for side in ("chosen", "rejected")
        ]
        width = max(side.ids.shape[1] for side in sides)
        padded = [[_pad(one, width) for one in side[:3]] for side in sides]
        return Batch(*(torch.cat(parts) for parts in zip(*padded, strict=True)))
    if method == "grpo":
        prompt, mask = inputs["prompt_mask"].bool(), inputs["completion_mask"].bool()
        ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1)
        trained = torch.cat([torch.zeros_like(prompt), mask], 1)
        return Batch(ids, torch.cat([prompt, mask], 1), trained, inputs[Samples.KEY][:, :-1])
    ids, mask = inputs["input_ids"], inputs["attention_mask"].bool()
    if "completion_mask" in inputs:
        return Batch(ids, mask, inputs["completion_mask"].bool(), inputs.get("label"))
    if method == "reward":
        trained = torch.zeros_like(mask)
        places = torch.arange(ids.shape[1]).expand(ids.shape)
        trained[torch.arange(len(ids)), (places * (ids != pad)).argmax(1)] = True
        return Batch(ids, mask, trained)
    labels = inputs["labels"]
    return Batch(ids, mask, labels != IGNORED_LABEL, labels if method == "process_reward" else None)


def _pad(values: torch.Tensor, width: int) -> torch.Tensor:
    return functional.pad(values, (0, width - values.shape[1]))


def _sequences(batch: Batch) -> Iterator[Row]:
    for row in range(len(batch.ids)):
        # Padding may be on either side; only what the model may look at counts.
        kept = batch.mask[row]
        yield {
            "ids": batch.ids[row][kept].tolist(),
            "trained": batch.trained[row][kept].int().tolist(),
            "label": _label(batch, row),
        }


def _modules(model: torch.nn.Module) -> dict[str, list[str]]:
    """The linear layers and stacks of experts that an adapter is on, and those it is not on."""
    adapted, bare = set(), set()
    for name, module in model.named_modules():
        clean = name.replace(".base_layer", "")
        if hasattr(module, "lora_A"):
            adapted.add(f"{clean}.{getattr(module, 'parameter_name', '')}".rstrip("."))
        elif isinstance(module, torch.nn.Linear) and "lora_" not in name:
            bare.add(clean)
    for name, parameter in model.named_parameters():
        # A stack of experts is one tensor, of which each slice is a layer (a convolution has rows).
        if parameter.dim() == 3 and parameter.size(1) > 1 and "lora_" not in name:
            bare.add(name.replace(".base_layer", ""))
    return {"adapted": sorted(adapted), "bare": sorted(bare - adapted)}


def _label(batch: Batch, row: int) -> Any:
    if batch.labels is None:
        return None
    if batch.labels.dim() == 1:
        return bool(batch.labels[row])
    if batch.labels.shape != batch.ids.shape:
        return batch.labels[row].tolist()
    return batch.labels[row][batch.trained[row]].tolist()


def _log_odds(logps: torch.Tensor) -> torch.Tensor:
    return logps - torch.log1p(-logps.exp())
