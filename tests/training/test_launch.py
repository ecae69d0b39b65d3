"""Planning refuses what cannot work; launching leaves no process behind."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from pathlib import Path

import pytest

from codefavor.cli.train import read_overrides
from codefavor.errors import ConfigError, TrainingError
from codefavor.training import launch as launching
from codefavor.training.check_files import file_findings
from codefavor.training.plan import (
    apply_overrides,
    plan_training,
    training_command,
    training_environment,
)
from codefavor.training.recipes import hardware_of, load_yaml
from codefavor.training.runcard import read_card, read_metrics

ROOT = Path(__file__).resolve().parents[2] / "recipes"
DPO = ROOT / "smollm2-135m" / "dpo.yaml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to launch from: a model that only looks like one, and one row of data."""
    model = tmp_path / "outputs" / "models" / "SmolLM2-135M-Instruct"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"1234")
    data = tmp_path / "outputs" / "data"
    data.mkdir()
    (data / "dpo.jsonl").write_text('{"messages": [], "chosen": {}, "rejected": {}}\n')
    return tmp_path


def test_the_command_is_accelerate_launching_axolotl_on_the_recipe(folder: Path):
    changes = {"max_steps": 2, "trl__beta": 0.5, "trl__x": "y"}
    plan = plan_training(DPO, folder=folder, gpus=0, overrides=changes)
    command = training_command(plan)
    assert Path(command[0]).name == "accelerate"
    assert command[1] == "launch"
    at = command.index("-m")
    assert command[at : at + 3] == ("-m", "axolotl.cli.train", str(DPO))
    assert "--cpu" in command
    assert "--max_steps=2" in command and "--trl={'beta': 0.5, 'x': 'y'}" in command
    assert not any(flag.startswith("--plugins") for flag in command)  # the recipe has it


def test_a_deepspeed_file_of_the_package_is_found_from_any_folder(folder: Path):
    recipe = ROOT / "gpu2x8x80" / "qwen2.5-coder-32b-dpo.yaml"
    for name in ("dpo-no-system", "dpo-dev-no-system"):
        (folder / f"outputs/data/{name}.jsonl").write_text("{}\n")
    command = training_command(plan_training(recipe, folder=folder, gpus=8))
    assert f"--deepspeed={str(ROOT / 'deepspeed' / 'zero3.json')!r}" in command
    own = folder / "recipes" / "deepspeed"
    own.mkdir(parents=True)
    (own / "zero3.json").write_text("{}")
    command = training_command(plan_training(recipe, folder=folder, gpus=8))
    assert not any(flag.startswith("--deepspeed") for flag in command)


LAYERS = sorted(
    path.relative_to(ROOT / "layers").with_suffix("").as_posix()
    for path in (ROOT / "layers").rglob("*.yaml")
)


@pytest.mark.axolotl
@pytest.mark.parametrize("recipe", ["gpu8x80/qwen3-4b-grpo", "smollm2-135m/dpo"])
def test_axolotl_reads_what_was_planned(folder: Path, monkeypatch, recipe: str):
    """Whatever layer or setting is put over a recipe: read by Axolotl's own command line."""
    monkeypatch.setenv("AXOLOTL_DO_NOT_TRACK", "1")
    from axolotl.cli import config as axolotl_config
    from fire import Fire

    for entry in load_yaml(ROOT / f"{recipe}.yaml")["datasets"]:
        (folder / entry["path"]).parent.mkdir(parents=True, exist_ok=True)
        (folder / entry["path"]).write_text("{}\n")
    read: dict = {}

    def stop(cfg: dict) -> None:
        read.update(json.loads(json.dumps(cfg.to_dict())))
        raise InterruptedError

    monkeypatch.setattr(axolotl_config, "prepare_plugins", stop)
    nested = ["trl__beta=0.5", "trl__new_one=yes", "trl__loss_type=null"]
    nested.append("wandb_mode=offline")
    changes = {layer: read_overrides([], [layer]) for layer in LAYERS}
    changes |= {
        "two": read_overrides(["vllm__port=1"], ["vllm/colocate", "vllm/server"]),
        "set": read_overrides(nested, []),
        "mapping": read_overrides(["trl={beta: 0.5}"], []),
    }
    for name, overrides in changes.items():
        # Their files are not here.
        absent = ("datasets", "test_datasets", "dev_accuracy", "base_model")
        kept = {key: overrides[key] for key in overrides if key not in absent}
        file = ROOT / f"{recipe}.yaml"
        plan = plan_training(file, folder=folder, overrides=kept, gpus=8)
        command = training_command(plan)
        read.clear()
        with pytest.raises(InterruptedError):
            Fire(axolotl_config.load_cfg, command=list(command[command.index("-m") + 2 :]))
        own = {"dataset_prepared_path", "plugins", "deepspeed", "axolotl_config_path"}
        got = {key: read[key] for key in read.keys() - own if read[key] is not None}
        wanted = {key: plan.config[key] for key in plan.config.keys() - own}
        assert got == json.loads(json.dumps(wanted)), name


def test_two_machines_are_launched_as_the_header_says(folder: Path):
    recipe = ROOT / "gpu2x8x80" / "qwen2.5-coder-32b-dpo.yaml"
    for name in ("dpo-no-system", "dpo-dev-no-system"):
        (folder / f"outputs/data/{name}.jsonl").write_text("{}\n")
    plan = plan_training(recipe, folder=folder, gpus=16)
    command = training_command(plan, hardware=hardware_of(recipe))
    [line] = [one for one in recipe.read_text().splitlines() if one.startswith("# Launch:")]
    header = line.split("accelerate launch ")[1].split(" -m ")[0]
    assert shlex.join(command[2 : command.index("-m")]) == header


def test_what_axolotl_would_cast_is_refused(folder: Path):
    for changes in ({"bf16": "auto"}, {"save_strategy": "no"}, {"max_steps": "5"}):
        with pytest.raises(ConfigError, match="would take this text for another value"):
            plan_training(DPO, folder=folder, gpus=0, overrides=changes)
    plan_training(DPO, folder=folder, gpus=0, overrides={"wandb_mode": "offline"})


def test_prepared_data_goes_to_another_folder_when_the_data_changes(folder: Path):
    def prepared() -> str:
        command = training_command(plan_training(DPO, folder=folder, gpus=0))
        return next(flag for flag in command if "dataset_prepared_path" in flag)

    before = prepared()
    (folder / "outputs/data/dpo.jsonl").write_text('{"messages": [1]}\n')
    assert prepared() != before


def test_prepared_data_follows_the_output_folder(folder: Path):
    """`--set output_dir=...` is what our own errors advise; the check wants both in one place."""
    plan = plan_training(DPO, folder=folder, gpus=0, overrides={"output_dir": "outputs/second"})
    assert plan.output_dir == folder / "outputs" / "second"
    findings = file_findings(plan.config, DPO, folder)
    assert [one for one in findings if "dataset_prepared_path" in one.message] == []
    [flag] = [one for one in training_command(plan) if "dataset_prepared_path" in one]
    assert flag.startswith("--dataset_prepared_path='outputs/second/prepared/")


def test_the_fingerprint_covers_config_data_and_model(folder: Path):
    prints = {plan_training(DPO, folder=folder, gpus=0).fingerprint}
    prints.add(plan_training(DPO, folder=folder, gpus=0, overrides={"seed": 1}).fingerprint)
    (folder / "outputs/data/dpo.jsonl").write_text('{"messages": [1]}\n')
    prints.add(plan_training(DPO, folder=folder, gpus=0).fingerprint)
    (folder / "outputs/models/SmolLM2-135M-Instruct/config.json").write_text('{"a": 1}')
    prints.add(plan_training(DPO, folder=folder, gpus=0).fingerprint)
    assert len(prints) == 4


def test_missing_data_names_the_command_that_makes_it(folder: Path):
    (folder / "outputs/data/dpo.jsonl").unlink()
    with pytest.raises(ConfigError, match=r"make it with: codefavor convert .*--format dpo"):
        plan_training(DPO, folder=folder, gpus=0)


def test_missing_model_names_the_command_that_makes_it(folder: Path):
    (folder / "outputs/models/SmolLM2-135M-Instruct/config.json").unlink()
    with pytest.raises(ConfigError, match="make it with: codefavor recipes prepare"):
        plan_training(DPO, folder=folder, gpus=0)


def test_empty_data_is_refused(folder: Path):
    (folder / "outputs/data/dpo.jsonl").write_text("")
    with pytest.raises(ConfigError, match="is empty"):
        plan_training(DPO, folder=folder, gpus=0)


def test_a_gpu_recipe_on_a_cpu_says_what_to_do(folder: Path):
    overrides = {"bf16": True, "attn_implementation": "flash_attention_2", "load_in_4bit": True}
    with pytest.raises(ConfigError, match=r"half precision.*quantised.*flash.*hardware/any"):
        plan_training(DPO, folder=folder, gpus=0, overrides=overrides)
    assert plan_training(DPO, folder=folder, gpus=1, overrides=overrides).gpus == 1


def test_overrides_reach_into_mappings():
    assert apply_overrides({"trl": {"a": 1, "b": 2}, "c": 3}, {"trl__b": 5, "d": 1}) == {
        "trl": {"a": 1, "b": 5},
        "c": 3,
        "d": 1,
    }


@pytest.mark.parametrize(
    "value",
    [True, None, 3, 2e-4, "outputs/x", "12", "True", "a b'c\"d", ["x", 1], {"a": {"b": [None]}}],
)
def test_fire_reads_every_override_back_unchanged(value):
    fire = pytest.importorskip("fire")
    found = fire.Fire(lambda **kwargs: kwargs, command=[f"--key={value!r}"])
    assert found == {"key": value}


def test_environment_hides_gpus_on_a_cpu_run_and_keeps_the_callers_choices(
    folder: Path, monkeypatch
):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    environment = training_environment(plan_training(DPO, folder=folder, gpus=0))
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["AXOLOTL_DO_NOT_TRACK"] == "1"
    assert environment["HF_HUB_OFFLINE"] == "1"


def test_an_output_folder_of_another_run_is_refused(folder: Path):
    plan = plan_training(DPO, folder=folder, gpus=0)
    plan.output_dir.mkdir(parents=True)
    card = {"fingerprint": "other", "config": {**plan.config, "seed": 7}}
    (plan.output_dir / "run.json").write_text(json.dumps(card))
    with pytest.raises(ConfigError, match=r"another run; different: seed.*--fresh"):
        read_card(plan)


def test_checkpoints_without_a_card_are_refused(folder: Path):
    plan = plan_training(DPO, folder=folder, gpus=0)
    (plan.output_dir / "checkpoint-4").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"holds checkpoints of a run that has no run\.json"):
        read_card(plan)


def test_metrics_of_a_resumed_run_count_each_step_once(tmp_path: Path):
    rows = [
        {"step": 0, "event": "begin"},
        {"step": 1, "loss": 1.0},
        {"step": 2, "loss": 0.9},
        {"step": 1, "event": "begin"},
        {"step": 2, "loss": 0.8},
        {"step": 2, "train_runtime": 5.0},
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows) + '{"step": 3, "lo'
    (tmp_path / "metrics.jsonl").write_text(text)
    assert read_metrics(tmp_path) == [rows[1], rows[4], rows[5]]


def test_the_card_of_a_resumed_run_is_that_of_the_whole_run(folder: Path):
    """Its start, its time and its speed; the trainer knows of its last launch alone."""
    launches = iter([(100.0, 110.0, 2, {}), (500.0, 505.0, 4, {"train_runtime": 5.0})])
    out = plan_training(DPO, folder=folder, gpus=0).output_dir

    def run(command, *, log: Path, metrics_path: Path, **others) -> int:
        begin, end, step, summary = next(launches)
        speed = {"train_steps_per_second": 0.8} if summary else {}
        rows = [{"step": step - 2, "time": begin, "event": "begin"}]
        rows += [{"step": step, "time": end, "loss": 1.0, **summary, **speed}]
        with open(metrics_path, "a") as lines:
            lines.write("".join(json.dumps(row) + "\n" for row in rows))
        checkpoint = out / f"checkpoint-{step}"
        checkpoint.mkdir()
        (checkpoint / "trainer_state.json").write_text("{}")
        for place in (checkpoint, out):
            (place / "adapter_model.safetensors").write_bytes(b"x")
        log.write_text("")
        return 0 if summary else 1

    with pytest.raises(TrainingError):
        launching.launch(DPO, folder=folder, gpus=0, run=run)
    card = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps({**card, "started": "2001-02-03T04:05:06+00:00"}))
    assert launching.launch(DPO, folder=folder, gpus=0, run=run).is_resumed
    card = json.loads((out / "run.json").read_text())
    assert (card["status"], card["started"]) == ("finished", "2001-02-03T04:05:06+00:00")
    assert card["last"]["train_runtime"] == 15.0
    assert card["last"]["train_steps_per_second"] == pytest.approx(4 / 15)


# A command that starts a child of its own, tells its process id, and logs steps until it is ended.
STUBBORN = """
import json, os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with open(sys.argv[1], "a") as handle:
    for step in range(10_000):
        handle.write(json.dumps({"step": step, "child": child.pid}) + "\\n")
        handle.flush()
        time.sleep(0.05)
"""


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().split(")")[1].split()[0] != "Z"


def test_an_interrupt_ends_the_whole_process_group(tmp_path: Path):
    metrics = tmp_path / "metrics.jsonl"
    seen = []

    def interrupt(row):
        seen.append(row)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        launching.run_group(
            [sys.executable, "-c", STUBBORN, str(metrics)],
            folder=tmp_path,
            environment=os.environ,
            log=tmp_path / "log",
            metrics_path=metrics,
            on_metrics=interrupt,
        )
    assert [row["step"] for row in seen] == [0, 1, 2]
    deadline = time.monotonic() + 5
    while is_alive(seen[0]["child"]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_alive(seen[0]["child"])


def test_the_exit_code_and_the_output_are_kept(tmp_path: Path):
    command = shlex.split(f"{sys.executable} -c \"print('hello'); raise SystemExit(3)\"")
    code = launching.run_group(
        command,
        folder=tmp_path,
        environment=os.environ,
        log=tmp_path / "log",
        metrics_path=tmp_path / "metrics.jsonl",
    )
    assert (code, (tmp_path / "log").read_text()) == (3, "hello\n")


def test_two_launches_into_one_folder_exclude_each_other(folder: Path):
    plan = plan_training(DPO, folder=folder, gpus=0)
    plan.output_dir.mkdir(parents=True)
    with (
        launching.locked(plan.output_dir),
        pytest.raises(ConfigError, match="another launch is training into it"),
    ):
        launching.launch(DPO, folder=folder, gpus=0)
