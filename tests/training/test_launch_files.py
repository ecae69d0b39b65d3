"""The files for many GPUs and machines: they parse, and start what they say."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
LAUNCH = RECIPES / "launch"
RECIPE = "recipes/gpu8x80/llama-3.1-8b-reward.yaml"


@pytest.fixture
def run(tmp_path: Path):
    """Runs a launch script with programs in its PATH that only note how they were called."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("torchrun", "python", "srun"):
        (programs / name).write_text(f'#!/bin/sh\nprintf "%s\\n" {name} "$@"\n')
    (programs / "scontrol").write_text("#!/bin/sh\nprintf 'node7\\nnode8\\n'\n")
    for program in programs.iterdir():
        program.chmod(0o755)

    def start(script: str, *arguments: str, **environment: str) -> list[str]:
        done = subprocess.run(
            ["bash", str(LAUNCH / script), *arguments],
            env={"PATH": f"{programs}:/usr/bin:/bin", **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return start


def option(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]


def test_torchrun_starts_axolotl_on_every_process_of_every_machine(run):
    words = run("torchrun.sh", RECIPE, "--seed=1", NODES="2", NODE_RANK="1", HEAD="10.0.0.1")
    assert words[0] == "torchrun"
    assert (option(words, "--nnodes"), option(words, "--node_rank")) == ("2", "1")
    assert option(words, "--nproc_per_node") == "8"
    assert option(words, "--rdzv_endpoint") == "10.0.0.1:29500"
    assert words[-4:] == ["-m", "axolotl.cli.train", RECIPE, "--seed=1"]


def test_slurm_meets_at_the_first_node(run):
    words = run(
        "slurm.sbatch",
        RECIPE,
        SLURM_NNODES="2",
        SLURM_JOB_ID="77",
        SLURM_JOB_NODELIST="node[7-8]",
        SLURM_GPUS_ON_NODE="4",
    )
    assert words[:3] == ["srun", "--kill-on-bad-exit=1", "torchrun"]
    assert option(words, "--nproc_per_node") == "4"
    assert option(words, "--rdzv_endpoint") == "node7:29500"
    assert words[-3:] == ["-m", "axolotl.cli.train", RECIPE]


def test_ray_lets_axolotl_start_the_workers(run):
    words = run("ray.sh", RECIPE, WORKERS="16")
    assert words[:4] == ["python", "-m", "axolotl.cli.train", RECIPE]
    assert {"--use_ray=True", "--ray_num_workers=16"} <= set(words)


def test_rays_workers_stay_where_the_recipes_paths_start(run, tmp_path: Path):
    """Ray would move each of them to a folder of its own session."""
    python = tmp_path / "bin" / "python"
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$RAY_CHDIR_TO_TRIAL_DIR"\n')
    assert run("ray.sh", RECIPE) == ["0"]


@pytest.mark.parametrize("script", ["torchrun.sh", "slurm.sbatch", "ray.sh"])
def test_a_script_without_a_recipe_says_how_it_is_used(script: str):
    done = subprocess.run(
        ["bash", str(LAUNCH / script)], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "usage:" in done.stderr


def test_the_skypilot_task_trains_a_recipe_that_is_here():
    task = yaml.safe_load((LAUNCH / "skypilot.yaml").read_text(encoding="utf-8"))
    assert (RECIPES.parent / task["envs"]["RECIPE"]).is_file()
    assert '-m axolotl.cli.train "$RECIPE"' in task["run"].replace("\\\n", " ")
    assert (RECIPES.parent / "requirements-gpu.txt").is_file()
    checked = subprocess.run(
        ["bash", "-n"], input=task["setup"] + task["run"], text=True, check=False
    )
    assert checked.returncode == 0


@pytest.mark.parametrize(
    "path", sorted((RECIPES / "accelerate").glob("*.yaml")), ids=lambda path: path.stem
)
def test_accelerate_reads_its_files(path: Path):
    pytest.importorskip("accelerate")
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(path))
    written = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert config.num_processes == written["num_processes"]
    assert config.num_machines == written["num_machines"]


@pytest.mark.parametrize(
    "path", sorted((RECIPES / "deepspeed").glob("*.json")), ids=lambda path: path.stem
)
def test_a_deepspeed_file_is_what_its_name_says(path: Path):
    zero = json.loads(path.read_text(encoding="utf-8"))["zero_optimization"]
    assert zero["stage"] == int(path.stem[4])
    assert ("offload_optimizer" in zero) == path.stem.endswith("_offload")


def test_every_deepspeed_file_is_named_by_a_recipe():
    text = "".join(path.read_text(encoding="utf-8") for path in RECIPES.glob("*/*.yaml"))
    named = set(re.findall(r"recipes/deepspeed/\w+\.json", text))
    files = {f"recipes/deepspeed/{path.name}" for path in (RECIPES / "deepspeed").glob("*.json")}
    assert named == files


def test_zero_3_may_gather_ahead():
    for path in (RECIPES / "deepspeed").glob("zero3*.json"):
        zero = json.loads(path.read_text(encoding="utf-8"))["zero_optimization"]
        assert zero["stage3_max_live_parameters"] >= 1e9  # 0 turns prefetching off


def test_slurm_passes_its_cpus_on_to_the_task(run, tmp_path: Path):
    """Since Slurm 22.05 srun does not read what sbatch was given."""
    (tmp_path / "bin" / "srun").write_text('#!/bin/sh\nprintf "%s\\n" "$SRUN_CPUS_PER_TASK"\n')
    job = {"SLURM_NNODES": "1", "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "node7"}
    assert run("slurm.sbatch", RECIPE, SLURM_CPUS_PER_TASK="64", **job) == ["64"]


_DOCUMENTED = ["README.md", "docs/**/*.md", "recipes/**/*", "scripts/*"]


def test_every_documented_launch_turns_axolotls_telemetry_off():
    root = RECIPES.parent
    files = [path for pattern in _DOCUMENTED for path in root.glob(pattern) if path.is_file()]
    launches = 0
    for path in files:
        text = path.read_text(encoding="utf-8").replace("\\\n", " ")
        # A script, or a task, turns it off once for all that it starts.
        is_off = re.search(r"^\s*export AXOLOTL_DO_NOT_TRACK=1", text, re.MULTILINE)
        for line in text.splitlines():
            if re.search(r"(accelerate launch|torchrun|python) .*axolotl\.cli\.train \S", line):
                launches += 1
                assert is_off or "AXOLOTL_DO_NOT_TRACK=1" in line, f"{path}: {line}"
    assert launches > 70
