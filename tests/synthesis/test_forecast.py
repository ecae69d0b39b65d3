"""A dry run's figure is a bound: no run of the same command costs more, by the server's log."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from codefavor.backends import Request, Sampling
from codefavor.cli.synthesise import app
from codefavor.errors import ConfigError
from tests.kit.server import Call, LoopbackServer, Reply
from tests.kit.teacher import COMMIT, CONSTRUCTED, DRAFT, question_of, teacher

REPOSITORY = Path(__file__).parents[2]
MAX_TOKENS = 700
INPUT, OUTPUT = 2.0, 50.0  # dollars per million tokens
KEYS = ("OPENAI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "ANTHROPIC_API_KEY")
KEYS += ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE")


class DearTeacher:
    """Answers everything at length, and counts a token a byte and all of `max_tokens`."""

    def __init__(self) -> None:
        self.usd = 0.0
        self.n = 0
        # As long as the limit allows: the later questions are sent with it.
        self._teacher = teacher("json", reason="x" * MAX_TOKENS, construct=self._construct)

    def answer(self, request: Request) -> str:
        """What the teacher says; as a judge it says nothing, so that it is asked a second time."""
        try:
            is_judge = question_of(request) == "judge"
        except AssertionError:  # the second question stands alone in no form that the kit knows
            is_judge = True
        return "No verdict." if is_judge else str(self._teacher(request))

    def _construct(self, request: Request) -> dict[str, str]:
        # A judge is asked the same question only once: each row has its own.
        row = re.search(r"row \d", request.messages[0]["content"])
        assert row is not None
        return {**CONSTRUCTED, "instruction": f"{CONSTRUCTED['instruction']} {row[0]}"}

    def __call__(self, call: Call) -> Reply:
        messages, schema = call.body["messages"], call.body.get("response_format")
        sampling = Sampling(json_schema=schema and schema["json_schema"]["schema"])
        text = self.answer(Request(messages, sampling))
        n_input = sum(len(message["content"].encode()) for message in messages)
        n_input += len(json.dumps(schema)) if schema else 0
        n_output = call.body["max_tokens"]
        self.usd += (n_input * INPUT + n_output * OUTPUT) / 1e6
        self.n += 1
        usage = {"prompt_tokens": n_input, "completion_tokens": n_output}
        choice = {"index": 0, "message": {"content": text}, "finish_reason": "stop"}
        return Reply({"choices": [choice], "usage": usage})


def codefavor(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY), "HOME": str(folder)}
    return subprocess.run(
        [sys.executable, "-m", "codefavor", "synthesise", *words],
        env=environment, capture_output=True, text=True, check=False, cwd=folder,
    )  # fmt: skip


def write_inputs(folder: Path) -> None:
    commits = [
        {**COMMIT, "id": f"c{i}", "message": f"Simplify row {i}", "new_code": f"x = {i}\n" * 5**i}
        for i in range(4)
    ]
    drafts = [{**DRAFT, "id": f"d{i}", "instruction": f"row {i} " * 5**i} for i in range(4)]
    for name, rows in (("commits", commits), ("drafts", drafts)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text)
    prices = {"openai:m": {"input": INPUT, "output": OUTPUT}}
    (folder / "prices.json").write_text(json.dumps({"as_of": "today", "prices": prices}))


def forecast_usd(output: str) -> float:
    found = re.search(r"cost at most \$([\d.]+)", output)
    assert found is not None, output
    return float(found[1])


@pytest.mark.parametrize(
    ("words", "n_questions"),
    [
        (["commit-instruct", "--commits", "commits.jsonl", "--verify", "static"], 3),
        (["commit-instruct", "--commits", "commits.jsonl", "--verify", "tests,judge"], 8),
        (["critic-evol", "--drafts", "drafts.jsonl", "--verify", "tests,judge"], 6),
        (["critic-evol", "--drafts", "drafts.jsonl", "--verify", "tested"], 10),
    ],
    ids=["three questions", "with tests and a judge", "drafts", "with a judge that tests"],
)
def test_no_run_costs_more_than_its_dry_run_said(
    tmp_path: Path, words: list[str], n_questions: int
) -> None:
    write_inputs(tmp_path)
    words = [*words, "--out", "o.jsonl", "--backend", "openai:m", "--prices", "prices.json"]
    words += ["--max-tokens", str(MAX_TOKENS), "--format", "json"]
    dry = codefavor(tmp_path, *words, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    dear = DearTeacher()
    with LoopbackServer(dear) as server:
        done = codefavor(tmp_path, *words, "--set", f"base_url={server.url}/v1", "--no-cache")
    # Pairs that the judge does not confirm are no result.
    assert done.returncode == (0 if "static" in words else 1), done.stderr
    assert dear.n == 4 * n_questions
    # A bound, and not a wild one.
    assert dear.usd <= forecast_usd(dry.stdout) < 2 * dear.usd


@pytest.mark.parametrize("spec", ["openai:gpt-4o-mini", "anthropic:m", "gemini:m", "bedrock:m"])
def test_a_dry_run_needs_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str) -> None:
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    words = ["drafts", "--problems", "starter", "--limit", "2", "--backend", spec]
    words += ["--out", str(tmp_path / "o.jsonl")]
    done = CliRunner().invoke(app, [*words, "--dry-run"])
    assert done.exit_code == 0, done.exception
    assert "2 rows, at most " in done.output
    asked = CliRunner().invoke(app, words)
    assert isinstance(asked.exception, ConfigError)
    assert "needs a" in str(asked.exception)
