"""The files for Slurm, Kubernetes and SkyPilot: they parse, and start the shards that they say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from codefavor.records import write_rows

ROOT = Path(__file__).parents[1]
FILES = ROOT / "scripts" / "cluster"


@pytest.fixture
def home(tmp_path):
    """A folder with `codefavor` in its PATH, and problems."""
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    program = programs / "codefavor"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m codefavor "$@"\n')
    program.chmod(0o755)
    problems = [
        {"id": f"p{n}", "instruction": f"Add {n}.", "tests": "assert True", "entry_point": "f"}
        for n in range(6)
    ]
    write_rows(tmp_path / "problems.jsonl", problems)
    return tmp_path


def run(home, *words, **environment):
    done = subprocess.run(
        words,
        cwd=home,
        env={
            "PATH": f"{home / '.venv' / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "XDG_CACHE_HOME": str(home),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


COMMAND = "synthesise drafts --problems problems.jsonl --model fake:tests.cli.test_shards:answer"


def test_the_tasks_of_a_slurm_array_are_the_shards_of_one_run(home):
    words = [*COMMAND.split(), "--out"]
    script = FILES / "slurm_array.sbatch"
    run(home, "codefavor", *words, "alone.jsonl")
    run(home, "bash", script, *words, "o.jsonl", SLURM_ARRAY_TASK_ID="0",
        SLURM_ARRAY_TASK_COUNT="2")  # fmt: skip
    # One of them again, as an array of one.
    run(home, "bash", script, *words, "o.jsonl", SLURM_ARRAY_TASK_ID="1",
        SLURM_ARRAY_TASK_COUNT="1", SHARDS="2")  # fmt: skip
    run(home, "codefavor", "merge-shards", *words, "o.jsonl")
    assert (home / "o.jsonl").read_bytes() == (home / "alone.jsonl").read_bytes()


def test_the_pods_of_a_kubernetes_job_are_its_shards(home):
    (job,) = yaml.safe_load_all((FILES / "kubernetes_job.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    spec = job["spec"]
    assert spec["completionMode"] == "Indexed"
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    environment = {one["name"]: one["value"] for one in container["env"]}
    assert environment["SHARDS"] == str(spec["completions"])
    # backoffLimitPerIndex is allowed with this policy alone.
    assert pod["restartPolicy"] == "Never"
    mounts = {one["name"] for one in container["volumeMounts"]}
    assert mounts == {one["name"] for one in pod["volumes"]}
    program = home / ".venv" / "bin" / "codefavor"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    words = run(
        home, *container["command"], *container["args"], JOB_COMPLETION_INDEX="7", **environment
    ).splitlines()
    assert words[0] == "score" and words[-2:] == ["--shard", "7/64"]


def test_the_nodes_of_a_skypilot_task_are_its_shards(home):
    task = yaml.safe_load((FILES / "skypilot_shards.yaml").read_text())
    for rank in ("0", "1"):
        script = task["run"].replace("/outputs", str(home))
        run(home, "bash", "-c", script, COMMAND=COMMAND, SKYPILOT_NODE_RANK=rank,
            SKYPILOT_NUM_NODES="2")  # fmt: skip
    run(home, "codefavor", "merge-shards", *COMMAND.split(), "--out", "out.jsonl")
    assert len((home / "out.jsonl").read_text().splitlines()) == 24


def test_the_replicas_of_vllm_answer_where_they_are_asked_whether_they_are_ready():
    service = yaml.safe_load((FILES / "skypilot_vllm.yaml").read_text())
    assert service["service"]["readiness_probe"] == "/v1/models"
    assert f"--port {service['resources']['ports']}" in service["run"]
    assert "vllm serve" in service["run"] and (ROOT / "requirements-serve.txt").is_file()
