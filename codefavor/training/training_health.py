"""Warnings that a training goes wrong, read from its logged metrics; pure."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from codefavor.records import Row

# Fewer logs than this say nothing about a trend.
MIN_LOGS = 8
# Nats by which a summed log-probability may move without meaning anything.
_LOGP_SLACK = 2.0
_FLAT_MARGIN = 0.02


def health_warnings(metrics: Sequence[Row]) -> list[str]:
    """What looks wrong in the logs so far, as sentences; each sign at most once."""
    signs = [*_not_finite(metrics)]
    rates = [row["learning_rate"] for row in metrics if row.get("learning_rate") is not None]
    if rates and not any(rates) and len(rates) >= metrics[0].get("max_steps", MIN_LOGS):
        signs.append(
            "the learning rate was 0 in every step, so nothing was learnt: write warmup_steps: 0, "
            "or train for more steps"
        )
    chosen = _ends(metrics, "logps/chosen")
    if chosen and chosen[1] < chosen[0] - max(_LOGP_SLACK, 0.15 * abs(chosen[0])):
        signs.append(
            f"the chosen code becomes less likely (log-probability {chosen[0]:.1f} -> "
            f"{chosen[1]:.1f}): lower learning_rate, raise rl_beta, mix in supervised loss "
            "(dpo_loss_type: [sigmoid, sft]) or use DPOP"
        )
    margin = _ends(metrics, "rewards/margins")
    if margin and abs(margin[1] - margin[0]) < _FLAT_MARGIN and abs(margin[1]) < 0.1:
        signs.append(
            f"the reward margin is flat ({margin[0]:.3f} -> {margin[1]:.3f}): raise learning_rate, "
            "or the pairs hold no signal that this model can learn"
        )
    loss = _ends(metrics, "loss")
    if loss and loss[1] > 1.2 * loss[0] and loss[1] > loss[0] + 0.05:
        signs.append(f"the loss rises ({loss[0]:.3f} -> {loss[1]:.3f}): lower learning_rate")
    spread = _ends(metrics, "reward_std")
    if spread and spread[1] < 1e-6:
        signs.append("all samples of a group get the same reward: nothing is learnt from them")
    return signs


def _not_finite(metrics: Sequence[Row]) -> list[str]:
    for row in metrics:
        if row.get("not_finite"):
            names = ", ".join(row["not_finite"])
            return [f"not a number since step {row.get('step')}: {names}; lower learning_rate"]
    return []


def _ends(metrics: Sequence[Row], name: str) -> tuple[float, float] | None:
    """The mean of the first and of the last quarter of a metric; None for too few logs."""
    values = [float(row[name]) for row in metrics if row.get(name) is not None]
    if len(values) < MIN_LOGS:
        return None
    quarter = len(values) // 4
    return fmean(values[:quarter]), fmean(values[-quarter:])
