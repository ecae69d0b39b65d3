"""Rewards are what the sandbox shows, and a broken sandbox is never a reward of 0."""

from __future__ import annotations

import pytest

from codefavor.errors import SandboxError
from codefavor.records import Execution
from codefavor.training import rewards

TESTS = "assert double(2) == 4\nassert double(0) == 0\nassert double(-1) == -2"
REPLIES = {
    "right": "```python\ndef double(x):\n    return 2 * x\n```",
    "partly": "```python\ndef double(x):\n    return abs(2 * x)\n```",
    "unparsable": "```python\ndef double(x)\n    return 2 * x\n```",
    "no code": "",
}


def columns(n: int) -> dict:
    return {"tests": [TESTS] * n, "entry_point": ["double"] * n, "prompts": [[]] * n}


def as_messages() -> list:
    return [[{"role": "assistant", "content": text}] for text in REPLIES.values()]


@pytest.fixture(scope="module", autouse=True)
def _sandbox_ends():
    yield
    rewards._runner.close()


def test_rewards_of_right_partly_right_and_broken_programs():
    replies = as_messages()
    extra = columns(len(replies))
    assert rewards.passes_tests(replies, **extra) == [1.0, 0.0, 0.0, 0.0]
    assert rewards.fraction_passed(replies, **extra) == pytest.approx([1.0, 2 / 3, 0.0, 0.0])
    assert rewards.is_runnable(replies, **extra) == [1.0, 1.0, 0.0, 0.0]


def test_plain_text_completions_are_read_too():
    assert rewards.passes_tests([REPLIES["right"]], **columns(1)) == [1.0]


def test_a_failed_sandbox_is_an_error_not_a_reward(monkeypatch):
    class Broken:
        def run(self, *args, **kwargs):
            return Execution(outcome="infra_error", error="worker gone")

    runner = rewards._Runner()
    runner._pool = Broken()  # type: ignore[assignment]
    monkeypatch.setattr(rewards, "_runner", runner)
    with pytest.raises(SandboxError, match="worker gone"):
        rewards.passes_tests([REPLIES["right"]], **columns(1))
