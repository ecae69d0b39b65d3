"""The reward for suites is what they catch; a broken sandbox masks, and drift is said."""

from __future__ import annotations

import json
import logging

import pytest

from codefavor.errors import ConfigError, SandboxError
from codefavor.records import Problem
from codefavor.scoring.answers import suite_of
from codefavor.scoring.suite_quality import SuiteQuality
from codefavor.training import rewards, suite_reward
from codefavor.training.formats import FORMATS, FormatOptions

REFERENCE = "def low(x, y):\n    if x < y:\n        return x\n    return y"
TESTS = "assert low(1, 2) == 1\nassert low(3, 2) == 2\nassert low(2, 2) == 2"
SUITE = "from solution import low\n\ndef test_it():\n    assert low(1, 2) == 1\n"
BETTER = f"{SUITE}    assert low(3, 2) == 2\n"


@pytest.fixture(scope="module", autouse=True)
def _sandbox_ends():
    yield
    suite_reward._measurer.close()


def columns(n: int) -> dict:
    return {"reference": [REFERENCE] * n, "tests": [TESTS] * n, "entry_point": ["low"] * n}


def test_rewards_are_shares_of_wrong_programs_and_go_to_the_trainers_log():
    seen: dict[str, float] = {}
    replies = [
        [{"role": "assistant", "content": f"Here:\n```python\n{BETTER}```"}],
        f"```python\n{SUITE}```",
        "```python\nfrom solution import low\ndef test_it():\n    low(1, 2)\n```",
        "I cannot.",
    ]
    found = rewards.test_quality(replies, **columns(4), log_metric=seen.__setitem__)
    assert found[0] == 1.0 and 0 < found[1] < 1 and found[2:] == [0.0, 0.0]
    assert seen["suite/score"] == pytest.approx(sum(found) / 4)
    assert seen["suite/without_defect"] == 0.5 and 0 < seen["suite/kills"] < 1


def test_a_message_that_the_task_gives_is_not_over_fitted():
    reference = REFERENCE.replace(
        "y):", "y):\n    if x < 0:\n        raise ValueError('below 0')", 1
    )
    problem = Problem(
        "low", "The lower one; ValueError 'below 0'.", TESTS, "low", reference=reference
    )
    (row,) = FORMATS["grpo"](problem, FormatOptions(task="tests"))
    suite = (
        f"{BETTER}    import pytest\n    with pytest.raises(ValueError, match='below 0'):\n"
        "        low(-1, 2)\n"
    )
    given = {name: [value] for name, value in row.items() if name != "prompt"}
    told = rewards.test_quality([suite], **given)
    untold = rewards.test_quality([suite], **{**given, "instruction": [""]})
    assert told == [1.0] and untold == [0.5]


class Broken:
    def __init__(self, scorer, n_broken):
        self._scorer, self.n_left = scorer, n_broken

    def quality(self, suite, problem):
        if self.n_left:
            self.n_left -= 1
            raise SandboxError("worker gone")
        return self._scorer.quality(suite, problem)


def test_a_failed_sandbox_is_masked_and_never_a_zero(monkeypatch):
    replies = [f"```python\n{BETTER}```"] * 3
    assert rewards.test_quality(replies, **columns(3)) == [1.0, 1.0, 1.0]
    broken = Broken(suite_reward._measurer._scorer, 1)
    monkeypatch.setattr(suite_reward._measurer, "_scorer", broken)
    found = rewards.test_quality(replies, **columns(3))
    assert sorted(found, key=str) == [1.0, 1.0, None]
    broken.n_left = 3
    with pytest.raises(SandboxError):
        rewards.test_quality(replies, **columns(3))


def test_a_row_without_the_right_program_is_refused():
    with pytest.raises(ConfigError, match="reference"):
        rewards.test_quality(["x"], tests=[TESTS], entry_point=["low"])
    wrong = {**columns(1), "tests": ["assert low(1, 2) == 5"]}
    with pytest.raises(ConfigError, match="right_program_is_wrong"):
        rewards.test_quality([BETTER], **wrong)


def test_a_rising_score_with_falling_kills_is_a_warning(caplog):
    drift = suite_reward.Drift()
    with caplog.at_level(logging.WARNING):
        for _ in range(40):
            drift.log([SuiteQuality(0.5, parts={"kills": 0.5})], None)
        assert not caplog.records
        for step in range(40):
            score, kills = 0.5 + step / 100, 0.5 - step / 100
            drift.log([SuiteQuality(score, parts={"kills": kills})], None)
    assert "found a way around" in caplog.text


REPLIES = {
    "the last block with tests": (
        f"```python\nx = 1\n```\n```python\n{SUITE}```\n```\n$ pytest\n```"
    ),
    "the text itself": SUITE,
    "a JSON object": json.dumps({"about": "tests", "code": SUITE}),
    "a JSON object in a block": "```json\n" + json.dumps({"tests": SUITE}) + "\n```",
    "after the thinking": f"<think>```\ndef test_no():\n    pass\n```</think>```\n{SUITE}```",
}


@pytest.mark.parametrize("what", REPLIES)
def test_the_suite_of_a_reply(what):
    assert suite_of(REPLIES[what]).strip() == SUITE.strip()


def test_thinking_without_an_answer_is_no_suite():
    assert suite_of(f"<think>```python\n{SUITE}```") == ""
