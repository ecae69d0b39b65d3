"""Sick trainings are named, healthy ones are not."""

from __future__ import annotations

import pytest

from codefavor.training.training_health import health_warnings


def logs(**series: list[float]) -> list[dict]:
    n = len(next(iter(series.values())))
    return [{"step": step, **{name: series[name][step] for name in series}} for step in range(n)]


def line(first: float, last: float, n: int = 16) -> list[float]:
    return [first + (last - first) * step / (n - 1) for step in range(n)]


def test_a_healthy_dpo_run_has_no_sign():
    metrics = logs(
        **{
            "loss": line(0.69, 0.3),
            "rewards/margins": line(0, 1.2),
            "logps/chosen": line(-60, -61),
        }
    )
    assert health_warnings(metrics) == []


def test_a_run_that_was_all_warm_up_learnt_nothing():
    """What a real run of one step with `warmup_steps: 5` logged."""
    begin = {"step": 0, "max_steps": 1, "event": "begin"}
    step = {"step": 1, "max_steps": 1, "loss": 0.693, "learning_rate": 0.0}
    end = {"step": 1, "max_steps": 1, "train_loss": 0.693}
    (sign,) = health_warnings([begin, step, end])
    assert "learning rate was 0 in every step" in sign
    # The first of several steps, while the others are to come.
    longer = [{**row, "max_steps": 9} for row in (begin, step)]
    assert health_warnings(longer) == []
    assert health_warnings([begin, {**step, "learning_rate": 2e-4}, end]) == []


@pytest.mark.parametrize(
    ("series", "sign"),
    [
        ({"logps/chosen": line(-60, -90)}, "the chosen code becomes less likely"),
        ({"rewards/margins": line(0.0, 0.004)}, "the reward margin is flat"),
        ({"loss": line(0.5, 0.9)}, "the loss rises"),
        ({"reward_std": line(0.4, 0.0)}, "all samples of a group get the same reward"),
    ],
    ids=["chosen", "flat", "loss", "grpo"],
)
def test_each_sign_is_named_alone(series, sign):
    if "reward_std" in series:
        series["reward_std"][-8:] = [0.0] * 8
    found = health_warnings(logs(**series))
    assert len(found) == 1
    assert found[0].startswith(sign)


def test_a_number_that_is_not_finite_is_named_at_once():
    metrics = [{"step": 3, "loss": None, "not_finite": ["loss"]}]
    assert health_warnings(metrics) == ["not a number since step 3: loss; lower learning_rate"]


def test_a_few_logs_say_nothing():
    assert health_warnings(logs(loss=line(0.5, 5.0, n=4))) == []
