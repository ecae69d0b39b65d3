"""`codefavor synthesise drafts` as a user types it."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PROBLEM = {"id": "a", "instruction": "Add.", "tests": "assert add(1, 2) == 3", "entry_point": "add"}


def codefavor(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "XDG_CACHE_HOME": str(folder)}
    return subprocess.run(
        [sys.executable, "-m", "codefavor", "synthesise", "drafts", *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )


def problems(folder: Path, n: int = 3) -> Path:
    path = folder / "problems.jsonl"
    # What the model says; the answer begins with a fence already.
    program = "\ndef add(a, b):\n    return a + b\n"
    (folder / "scripted.py").write_text(f"def program(request):\n    return {program!r}\n")
    rows = [{**PROBLEM, "id": f"p{i}", "instruction": f"Add {i}."} for i in range(n)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_drafts_are_written_and_a_second_call_asks_nothing(tmp_path: Path) -> None:
    words = [
        "--problems",
        str(problems(tmp_path)),
        "--backend",
        "fake:scripted:program",
        "--n",
        "2",
    ]
    first = codefavor(tmp_path, *words, "--out", "o.jsonl")
    assert first.returncode == 0, first.stderr
    assert "3 rows: 3 ok, 0 rejected, 0 errors" in first.stdout
    rows = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert [row["problem_id"] for row in rows] == ["p0", "p0", "p1", "p1", "p2", "p2"]
    second = codefavor(tmp_path, *words, "--out", "o.jsonl")
    assert "3 had ended before" in second.stdout
    assert "0 requests" in second.stdout


def test_other_settings_on_the_same_output_are_refused_by_name(tmp_path: Path) -> None:
    words = ["--problems", str(problems(tmp_path)), "--out", "o.jsonl"]
    words += ["--backend", "fake:scripted:program"]
    assert codefavor(tmp_path, *words).returncode == 0
    refused = codefavor(tmp_path, *words, "--temperature", "0.1")
    assert refused.returncode == 2
    assert "sampling.temperature = 0.8, this run has sampling.temperature = 0.1" in refused.stderr


def test_a_dry_run_shows_prompts_and_forecast_and_writes_nothing(tmp_path: Path) -> None:
    words = ["--problems", str(problems(tmp_path, 9)), "--backend", "fake:echo", "--dry-run"]
    shown = codefavor(tmp_path, *words, "--out", "o.jsonl", "--limit", "5")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.count("--- prompt") == 3
    assert "5 rows, at most 5 requests" in shown.stdout
    assert not (tmp_path / "o.jsonl").exists()


def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    good = ["--problems", str(problems(tmp_path)), "--out", "o.jsonl"]
    (tmp_path / "bad.jsonl").write_text('{"id": "x"}\n')
    for words, complaint in (
        ([*good, "--backend", "opnai:x"], "unknown backend 'opnai'"),
        ([*good, "--backend", "fake:echo", "--set", "oops"], "expected name=value"),
        (["--problems", "bad.jsonl", "--out", "o", "--backend", "fake:echo"], "bad.jsonl:1"),
        (["--problems", "nowhere.jsonl", "--out", "o", "--backend", "fake:echo"], "nowhere.jsonl"),
        (
            [*good, "--backend", "openai:m", "--set", "base_url=http://x", "--budget-usd", "1"],
            "price of openai:m",
        ),
        ([*good, "--backend", "fake:echo", "--batch"], "has no batch mode"),
    ):
        done = codefavor(tmp_path, *words)
        assert done.returncode == 2, (words, done.stderr)
        assert complaint in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "o.jsonl").exists()


class _Refuses(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b'{"error": {"message": "this question is malformed"}}'
        self.send_response(400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def test_a_run_in_which_everything_failed_says_so_by_its_exit_code(tmp_path: Path) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Refuses) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        result = codefavor(
            tmp_path, "--problems", str(problems(tmp_path, 2)), "--out", "out.jsonl",
            "--backend", "openai:m", "--set", f"base_url=http://127.0.0.1:{server.server_port}/v1",
            "--n", "1",
        )  # fmt: skip
        server.shutdown()
    assert result.returncode == 1, result.stderr
    assert "2 errors" in result.stdout
