"""Rewards are what the sandbox shows, and a broken sandbox is never a reward of 0."""

from __future__ import annotations

import pytest

from codefavor.errors import ConfigError, SandboxError
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


GOOD = REPLIES["right"]
LONG_DRAFT = (
    "```python\ndef double(x):\n    # " + "too long a thought " * 9 + "\n    return x + 1\n```"
)
PARTS = [{"role": "assistant", "content": [{"type": "text", "text": GOOD}]}]


@pytest.mark.parametrize(
    ("reply", "reward"),
    [
        (f"<think>\n{LONG_DRAFT}\n</think>\n{GOOD}", 1.0),
        (f"<think>\n{GOOD}\n</think>\nI do not know.", 0.0),
        (f"<think>\n{GOOD}", 0.0),
        (f"<|channel|>analysis<|message|>{LONG_DRAFT}<|channel|>final<|message|>{GOOD}", 1.0),
        (f"First:\n{LONG_DRAFT}\nNo, rather:\n{GOOD}", 1.0),
        (
            f"{GOOD}\nUse it so:\n```python\nprint(double(2), double(3), double(4), 'x' * 99)\n```",
            1.0,
        ),
        (PARTS, 1.0),
    ],
    ids=["think", "no answer", "never ends", "channel", "corrected", "example", "parts"],
)
def test_the_final_answer_is_what_counts(reply, reward):
    assert rewards.passes_tests([reply], **columns(1)) == [reward]


def test_content_that_cannot_be_read_is_an_error():
    image = [{"role": "assistant", "content": [{"type": "image"}]}]
    with pytest.raises(ConfigError, match="neither text nor messages"):
        rewards.passes_tests([image], **columns(1))


def test_what_does_not_run_to_its_end_is_not_runnable():
    programs = [
        "def double(x):\n    while True: pass",
        "import sys\ndef double(x):\n    sys.exit(0)",
        "import sys\nsys.exit(0)\ndef double(x): return 2 * x",
        "import os\ndef double(x):\n    os._exit(0)",
        "def double(x):\n    raise ValueError",
    ]
    replies = [f"```python\n{code}\n```" for code in programs]
    assert rewards.is_runnable(replies, **columns(len(replies))) == [0.0] * len(replies)
    assert rewards.fraction_passed(replies, **columns(len(replies))) == [0.0] * len(replies)
