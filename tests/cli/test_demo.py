"""The whole walk, in its small size: what it writes, and that no kill changes it."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.axolotl, pytest.mark.integration]

COMMAND = [sys.executable, "-m", "codefavor", "demo", "--size", "smoke", "--seed", "3"]


def environment() -> dict[str, str]:
    # The model and everything else is on this machine; a look-up outside would only wait.
    return {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}


def run_demo(out: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "--out", str(out)],
        cwd=out.parent,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=1500,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "run"
    done = run_demo(out)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip().splitlines()[-1] == str(out / "report.html")
    return out


def test_the_report_shows_every_system_with_its_counts(finished):
    report = json.loads((finished / "report.json").read_text())
    names = [system["name"] for system in report["systems"]]
    assert names[0] == "random"
    assert names[-1] == "trained"
    assert len(names) == 7
    for system in report["systems"]:
        assert {"n", "n_error", "n_undecided", "accuracy", "low", "high"} <= system.keys()
        assert system["n_error"] == 0
    assert report["headline"]["n_pairs"] == len(report["items"])
    page = (finished / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_no_problem_is_on_two_sides(finished):
    sides = {}
    for split in ("train", "dev", "test"):
        for line in (finished / "pairs" / f"{split}.jsonl").read_text().splitlines():
            pair = json.loads(line)
            assert sides.setdefault(pair["problem_id"], split) == split


def test_every_pair_carries_its_evidence(finished):
    for line in (finished / "pairs" / "test.jsonl").read_text().splitlines():
        pair = json.loads(line)
        assert pair["evidence"]["chosen"]["outcome"] == "passed"
        assert pair["evidence"]["rejected"]["outcome"] != "passed"
        assert pair["evidence"]["rejected"]["trust"] in ("split", "weak")


def test_a_second_call_does_nothing_again(finished):
    stamps = (finished / "stages.json").read_text()
    n_judged = {p: p.read_bytes() for p in finished.glob("judged/*/rows/*.jsonl")}
    done = run_demo(finished)
    assert done.returncode == 0
    stages = [line for line in done.stderr.splitlines() if line.startswith("[")]
    assert stages
    assert all(line.endswith("(done before)") for line in stages)
    assert (finished / "stages.json").read_text() == stamps
    assert {p: p.read_bytes() for p in n_judged} == n_judged


def test_every_stage_says_what_a_user_would_type(finished):
    report = json.loads((finished / "report.json").read_text())
    verbs = [stage["note"].split()[:2] for stage in report["stages"]]
    assert all(verb[0] == "codefavor" for verb in verbs)
    assert list(dict.fromkeys(verb[1] for verb in verbs)) == [
        "recipes", "synthesise", "score", "pair", "convert", "train", "evaluate",
    ]  # fmt: skip


def test_a_dry_run_prints_the_commands_and_makes_nothing(tmp_path):
    command = [*COMMAND, "--dry-run", "--out", str(tmp_path / "none")]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[3].startswith("codefavor pair mutants --problems ")
    assert lines[-1].startswith("codefavor evaluate ")
    assert not (tmp_path / "none").exists()


def test_ctrl_c_ends_it_as_interrupted(finished):
    process = subprocess.Popen(
        [*COMMAND, "--out", str(finished.with_name("interrupted"))],
        cwd=finished.parent,
        env=environment(),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("programs 0/"):
            process.send_signal(signal.SIGINT)
            break
    process.stderr.read()
    assert process.wait() == 130


def test_other_settings_in_the_same_folder_are_refused(finished):
    command = [*COMMAND, "--out", str(finished)]
    command[command.index("3")] = "4"
    done = subprocess.run(
        command,
        cwd=finished.parent,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "seed=3" in done.stderr
    assert "--fresh" in done.stderr


def test_killed_at_random_moments_it_ends_with_the_same_result(finished):
    out = finished.with_name("killed")
    rng = random.Random(20)
    for _ in range(5):
        process = subprocess.Popen(
            [*COMMAND, "--out", str(out)],
            cwd=out.parent,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(rng.uniform(3, 45))
        # Only the command itself: what it started must notice and go.
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = run_demo(out)
    assert done.returncode == 0, done.stderr[-3000:]
    for name in ("pairs/train.jsonl", "pairs/test.jsonl", "data/train.jsonl"):
        told = "\n".join(line for line in done.stderr.splitlines() if "left out" in line)
        assert comparable(out / name) == comparable(finished / name), f"{name} {told}"
    first, second = (json.loads((f / "report.json").read_text()) for f in (finished, out))
    assert first["systems"] == second["systems"]
    assert first["gains"] == second["gains"]
    losses = [[point["loss"] for point in r["training"]["points"]] for r in (first, second)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def comparable(path: Path) -> list[dict]:
    """The rows without what a clock measured."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        evidence = row.get("evidence", {})
        for side in evidence.keys() & {"chosen", "rejected"}:
            evidence[side].pop("seconds")
            evidence[side].pop("peak_bytes")
    return rows
