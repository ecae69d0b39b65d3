"""The files for many GPUs and machines: they parse, and start what they say."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from codefavor.training.mistakes import evaluation_findings
from codefavor.training.recipes import launch_line, load_yaml, merge

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
    assert words[-5:-2] == ["-m", "axolotl.cli.train", RECIPE]


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
    assert "make setup-gpu" in task["setup"]
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


@pytest.mark.axolotl
@pytest.mark.parametrize(
    ("hardware", "n_processes", "n_machines"),
    [("2x8x80", 16, 2), ("4x8x80", 32, 4), ("2x4x24", 8, 2), ("3x2x48", 6, 3)],
)
def test_accelerate_starts_all_processes_on_all_machines(hardware, n_processes, n_machines):
    """The launch line of recipes for several machines, by accelerate's own parser and defaults."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser

    line = launch_line(RECIPE, n_processes, hardware).split("accelerate launch ")[1]
    words = line.replace("RANK", "1").replace("ADDRESS", "10.0.0.1").split()
    args, _, _ = _validate_launch_command(launch_command_parser().parse_args(words))
    assert (args.num_processes, args.num_machines, args.machine_rank) == (
        n_processes,
        n_machines,
        1,
    )
    assert (args.main_process_ip, args.main_process_port) == ("10.0.0.1", 29500)
    assert args.module and args.training_script == "axolotl.cli.train"
    assert (args.mixed_precision, args.multi_gpu) == ("bf16", True)


def test_a_recipe_for_several_machines_names_no_file_that_is_not_there():
    for path in RECIPES.glob("*/*.yaml"):
        named = re.findall(r"--config_file (\S+)", path.read_text(encoding="utf-8"))
        assert all((RECIPES.parent / name).is_file() for name in named), path


@pytest.mark.parametrize(
    "path", sorted((RECIPES / "deepspeed").glob("*.json")), ids=lambda path: path.stem
)
def test_a_deepspeed_file_is_what_its_name_says(path: Path):
    zero = json.loads(path.read_text(encoding="utf-8"))["zero_optimization"]
    assert zero["stage"] == int(path.stem[4])
    assert ("offload_optimizer" in zero) == path.stem.endswith("_offload")


def test_what_is_built_against_torch_is_installed_after_it():
    """flash-attn's own build imports torch, and asks for no other package that it needs."""
    done = subprocess.run(
        ["make", "-n", "setup-gpu"], cwd=RECIPES.parent, capture_output=True, text=True, check=True
    )
    order = [
        next(at for at, line in enumerate(done.stdout.splitlines()) if word in line)
        for word in ("scripts/install.sh", "setuptools wheel packaging", "requirements-gpu.txt")
    ]
    assert order == sorted(order)
    assert "--no-build-isolation -r requirements-gpu.txt" in done.stdout


@pytest.mark.axolotl
@pytest.mark.parametrize("name", ["zero2", "zero3", "zero3_offload"])
def test_the_trainer_fills_in_every_automatic_value(name: str, tmp_path: Path):
    """By the readers of transformers and DeepSpeed, for a model of 4096 hidden units."""
    pytest.importorskip("deepspeed", reason="DeepSpeed is not installed (make setup-gpu)")
    from types import SimpleNamespace

    from transformers import TrainingArguments
    from transformers.integrations.deepspeed import HfTrainerDeepSpeedConfig

    path = RECIPES / "deepspeed" / f"{name}.json"
    found = HfTrainerDeepSpeedConfig(json.loads(path.read_text(encoding="utf-8")))
    args = TrainingArguments(
        output_dir=str(tmp_path), per_device_train_batch_size=2, gradient_accumulation_steps=4,
        use_cpu=True,
    )  # fmt: skip
    args.bf16 = True
    found.trainer_config_process(args)
    found.trainer_config_finalize(
        args, SimpleNamespace(config=SimpleNamespace(hidden_size=4096)), 9
    )
    assert "auto" not in json.dumps(found.config)
    assert found.config["bf16"]["enabled"] is True and found.config["fp16"]["enabled"] is False
    assert found.config["train_batch_size"] == 8
    zero = found.config["zero_optimization"]
    if zero["stage"] == 3:
        assert zero["stage3_prefetch_bucket_size"] == int(0.9 * 4096 * 4096)
        assert zero["stage3_gather_16bit_weights_on_model_save"] is True


@pytest.mark.axolotl
def test_torchrun_reads_what_its_scripts_pass(run):
    """Both scripts' words by the parser of torchrun itself."""
    from torch.distributed.run import parse_args

    job = {"SLURM_NNODES": "2", "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n[7-8]"}
    words = run("slurm.sbatch", RECIPE, "--seed=1", **job)
    for given in (run("torchrun.sh", RECIPE, "--seed=1", NODES="2")[1:], words[3:]):
        args = parse_args(given)
        assert (args.nnodes, args.nproc_per_node, args.rdzv_backend) == ("2", "8", "c10d")
        assert args.module and args.training_script == "axolotl.cli.train"
        assert (
            args.training_script_args[0] == RECIPE and args.training_script_args[-1] == "--seed=1"
        )


@pytest.mark.parametrize("name", ["skypilot.yaml", "slurm.sbatch", "torchrun.sh"])
def test_a_schedulers_launch_is_one_that_torchrun_reads(name: str):
    text = (LAUNCH / name).read_text(encoding="utf-8").replace("\\\n", " ")
    assert re.search(r"torchrun +--nnodes .*--rdzv_endpoint .* -m axolotl\.cli\.train ", text)


RESUMES = {"save_only_model": False, "auto_resume_from_checkpoints": True}


@pytest.mark.parametrize("path", sorted(LAUNCH.iterdir()), ids=lambda path: path.name)
def test_a_launch_that_promises_to_resume_keeps_what_that_takes(path: Path):
    """Recipes of all weights leave the optimizer states out, unless they are told otherwise."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    said = " ".join(line.strip("# ") for line in text.splitlines() if line.startswith("#"))
    if not re.search("resumes|goes on from", said):
        return
    given = re.search(r"-m axolotl\.cli\.train \S+(.*)", text)
    assert given and {f"--{key}={value}" for key, value in RESUMES.items()} <= set(given[1].split())
    assert "14 bytes a weight" in said


def test_resuming_goes_with_every_recipe_and_its_header_says_without():
    for path in sorted(RECIPES.glob("*/*.yaml")):
        if not (text := path.read_text(encoding="utf-8")).startswith("# Rendered"):
            continue
        config = load_yaml(path)
        wrong = [one.message for one in evaluation_findings({**config, **RESUMES})]
        assert wrong == [], path
        if "sbatch --nodes" in text:
            continue  # which resumes by two keys of its own
        resumes = bool(config["auto_resume_from_checkpoints"])
        assert ("curves, resume," in text, "curves, no resume," in text) == (resumes, not resumes)
        assert not (resumes and config.get("save_only_model"))


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
            if re.search(
                r"(accelerate launch|torchrun|python) .*axolotl\.cli\.train \S|axolotl vllm-serve",
                line,
            ):
                launches += 1
                assert is_off or "AXOLOTL_DO_NOT_TRACK=1" in line, f"{path}: {line}"
    assert launches > 70


@pytest.mark.axolotl
@pytest.mark.parametrize("name", ["colocate", "server"])
def test_the_layers_of_vllm_pass_the_check_and_say_why(name: str):
    from codefavor.training.check import RecipeChecker

    recipe = RECIPES / "gpu8x80" / "qwen3-4b-grpo.yaml"
    path = RECIPES / "layers" / "vllm" / f"{name}.yaml"
    own = load_yaml(path)
    config = merge(load_yaml(recipe), own)
    findings = RecipeChecker().check(recipe, config=config, gpus=8, folder=RECIPES.parent)
    assert [one.message for one in findings if one.severity == "error"] == []
    longest = config["sequence_len"] + config["trl"]["max_completion_length"]
    assert config["vllm"]["max_model_len"] >= longest
    reasons = len(re.findall(r"^ +# ", path.read_text(encoding="utf-8"), re.MULTILINE))
    assert reasons >= 5
