"""What a launch will do: configuration, inputs, command and environment, decided beforehand."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codefavor.errors import ConfigError
from codefavor.records import Row, content_id, file_sha256
from codefavor.training.machine import count_gpus
from codefavor.training.recipes import (
    find_recipes,
    load_yaml,
    machine_flags,
    merge,
    processes_of,
)

PLUGIN = "codefavor.training.plugins.RunPlugin"
_LOCAL_PREFIXES = ("outputs/", "datasets/", "./", "../", "/")
DATA_SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".parquet", ".csv", ".arrow", ".txt")


@dataclass(frozen=True)
class TrainingPlan:
    """What a launch will do, all of it decided before anything starts.

    `config` is the recipe with the overrides; `data` maps each local data file to its sha256.
    `fingerprint` names everything that decides the result.
    """

    recipe: Path
    config: Row
    overrides: Row
    folder: Path
    data: Mapping[str, str]
    fingerprint: str
    gpus: int

    @property
    def output_dir(self) -> Path:
        """Where the trained weights, the log, the metrics and the run card go."""
        return self.folder / str(self.config["output_dir"])


def plan_training(
    recipe: Path,
    *,
    overrides: Mapping[str, Any] | None = None,
    folder: Path | None = None,
    gpus: int | None = None,
) -> TrainingPlan:
    """The plan of a launch; raises ConfigError for anything that is missing or cannot work here.

    `overrides` are Axolotl keys (`trl__beta` reaches into a mapping). `folder` is where relative
    paths start (default: here). `gpus` defaults to the number that the recipe is for
    (`usual_gpus`); 0 is a CPU run.
    """
    written, wanted = load_yaml(recipe), dict(overrides or {})
    where = (folder or Path.cwd()).resolve()
    n_gpus = usual_gpus(recipe) if gpus is None else gpus
    config = apply_overrides(written, wanted)
    _refuse_rewritten(written, wanted)
    if "output_dir" in wanted:
        # Another run's prepared data must not be found: Axolotl tells it by the paths alone.
        config["dataset_prepared_path"] = f"{wanted['output_dir']}/prepared"
    for key in ("base_model", "output_dir", "datasets"):
        if not config.get(key):
            raise ConfigError(f"{recipe}: the key {key!r} is missing or empty")
    if n_gpus == 0:
        check_cpu(recipe, config)
    files = _data_files(recipe, config, where)
    hashes = {str(path): file_sha256(path) for path in files}
    model = _model_identity(recipe, str(config["base_model"]), where)
    fingerprint = content_id(config, sorted(hashes.values()), model)
    return TrainingPlan(recipe.resolve(), config, wanted, where, hashes, fingerprint, n_gpus)


def usual_gpus(recipe: Path) -> int:
    """How many GPUs a launch here takes: those of the recipe, so that its batch is what it says.

    A recipe for any machine takes one GPU where there is one; without any, all run on the CPU.
    Raises ConfigError where there are some, and too few.
    """
    wanted, here = processes_of(recipe), count_gpus()
    if 0 < here < wanted:
        raise ConfigError(
            f"{recipe}: is for {wanted} GPUs, this machine has {here}: pass --gpus {here} "
            "(a smaller batch), or launch it on more machines (recipes/launch)"
        )
    return min(here, max(1, wanted))


def is_local_path(path: str, folder: Path) -> bool:
    """Whether a path of a recipe means a file or folder here, not a name on the Hub."""
    is_file = path.endswith(DATA_SUFFIXES) and "://" not in path
    return is_file or path.startswith(_LOCAL_PREFIXES) or (folder / path).exists()


def _data_files(recipe: Path, config: Mapping[str, Any], folder: Path) -> list[Path]:
    """Every local data file of a recipe; raises ConfigError for one that is missing or empty."""
    files = []
    # The dev pairs decide which weights are kept.
    dev = config.get("dev_accuracy")
    entries = [*(config.get("datasets") or []), *(config.get("test_datasets") or [])]
    for entry in [*entries, *([{"path": dev["data"]}] if dev else [])]:
        path = str(entry.get("path") or "")
        names = entry.get("data_files") or []
        if names:
            found = [folder / name for name in ([names] if isinstance(names, str) else names)]
        elif is_local_path(path, folder):
            found = [folder / path]
        else:
            continue
        for file in found:
            if not file.exists():
                raise ConfigError(
                    f"{recipe}: the data set {file} does not exist; {_needs(recipe, 'convert')}"
                )
            files += sorted(file.rglob("*.*")) if file.is_dir() else [file]
    for file in files:
        if file.stat().st_size == 0:
            raise ConfigError(f"{recipe}: the data set {file} is empty")
    return files


def _model_identity(recipe: Path, base_model: str, folder: Path) -> Any:
    """What tells one base model from another: its name, and sizes and configuration if local."""
    if not is_local_path(base_model, folder):
        return base_model
    path = folder / base_model
    if (path / "adapter_config.json").is_file():
        raise ConfigError(
            f"base_model: {base_model} holds an adapter, no model; name the model that it is for, "
            f"and lora_model_dir: {base_model} to go on with it (or merge it: codefavor merge)"
        )
    if not (path / "config.json").is_file():
        raise ConfigError(
            f"{recipe}: the model folder {path} has no config.json; {_needs(recipe, 'prepare')}"
        )
    sizes = [(file.name, file.stat().st_size) for file in sorted(path.glob("*.safetensors"))]
    return [file_sha256(path / "config.json"), sizes]


def needs_of(recipe: Path) -> list[str]:
    """The commands that a recipe's header says it needs."""
    lines = recipe.read_text(encoding="utf-8").splitlines()
    return [line[len("# Needs:") :].strip() for line in lines if line.startswith("# Needs:")]


def _needs(recipe: Path, word: str) -> str:
    """What the recipe's header names as the producer of a missing input."""
    commands = needs_of(recipe)
    fitting = [command for command in commands if word in command] or commands
    return f"make it with: {fitting[0]}" if fitting else "make it first"


def check_cpu(recipe: Path, config: Mapping[str, Any]) -> None:
    """Raise ConfigError for a recipe that cannot run without a GPU, and say what to do."""
    reasons = []
    if config.get("bf16", "auto") or config.get("fp16") or config.get("tf32"):
        reasons.append("half precision (bf16, fp16 or tf32 is not false)")
    if config.get("load_in_4bit") or config.get("load_in_8bit"):
        reasons.append("quantised weights")
    if "8bit" in str(config.get("optimizer", "")) or "fused" in str(config.get("optimizer", "")):
        reasons.append(f"the optimizer {config['optimizer']}")
    if "flash" in str(config.get("attn_implementation", "")) or config.get("flash_attention"):
        reasons.append("flash attention")
    if config.get("deepspeed") or config.get("fsdp_config"):
        reasons.append("deepspeed or FSDP")
    kernels = ("lora_mlp_kernel", "lora_qkv_kernel", "lora_o_kernel")
    is_auto = config.get("adapter") == "lora" and not config.get("rl")
    if is_auto and any(config.get(key) is not False for key in kernels):
        reasons.append("Axolotl's LoRA kernels (on unless set to false)")
    if reasons:
        raise ConfigError(
            f"{recipe}: this machine has no GPU, and the recipe asks for {', '.join(reasons)}; "
            "launch it with `--layer hardware/any` to run it on the CPU"
        )


def apply_overrides(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> Row:
    """The configuration as Axolotl sees it after `--key=value`; `a__b` reaches into a mapping."""
    merged = dict(config)
    for key, value in overrides.items():
        parent, _, child = key.partition("__")
        merged = merge(merged, {parent: {child: value}} if child else {key: value})
    return merged


def _refuse_rewritten(written: Mapping[str, Any], overrides: Mapping[str, Any]) -> None:
    """Raise ConfigError for a text that Axolotl's command line would take for another value.

    It casts a text to the type of what the recipe has, and without that to what it looks like.
    """
    if written.get("strict"):
        new = sorted({key.partition("__")[0] for key in overrides} - set(written))
        if new:
            raise ConfigError(
                f"{', '.join(new)}: under strict: true Axolotl ignores settings that the recipe "
                "does not have; write them into the recipe"
            )
    for key, value in overrides.items():
        before = written.get(key)
        if not isinstance(value, str) or "__" in key:
            continue
        is_open = before is None or isinstance(before, (int, float))
        if isinstance(before, bool) or (is_open and _looks_like_another(value)):
            raise ConfigError(
                f"{key}={value}: Axolotl's command line would take this text for another value, "
                f"as the recipe has {key}: {before}; write it into a copy of the recipe "
                "(codefavor recipes show)"
            )


def _looks_like_another(text: str) -> bool:
    """Whether Axolotl's command line reads a text as a truth value, null or a number."""
    if text.lower() in {"true", "yes", "false", "no", "null", "none", "~"}:
        return True
    try:
        float(text)
    except ValueError:
        return False
    return True


def training_command(plan: TrainingPlan, *, hardware: str = "") -> tuple[str, ...]:
    """The command line: accelerate, Axolotl's own entry, the recipe, and the overrides.

    A setting within a mapping is passed as the whole mapping that it gives, as Axolotl replaces
    what stands under a key. `hardware` is that of several machines (`recipes.machine_flags`).
    """
    data_version = content_id(sorted(plan.data.values()))[:12]
    own: Row = {
        "dataset_prepared_path": f"{plan.config['output_dir']}/prepared/{data_version}",
    }
    plugins = plan.config.get("plugins") or []
    if PLUGIN not in plugins:
        own["plugins"] = [*plugins, PLUGIN]
    beside = Path(sys.executable).parent / "accelerate"
    accelerate = str(beside) if beside.is_file() else "accelerate"
    machine = machine_flags(max(1, plan.gpus), hardware)
    if "--num_machines" not in machine:
        precision = "bf16" if plan.gpus and plan.config.get("bf16") else "no"
        machine += ["--num_machines", "1", "--mixed_precision", precision, "--dynamo_backend", "no"]
    if plan.gpus == 0:
        machine.insert(0, "--cpu")
    found = deepspeed_file(plan.config, plan.recipe, plan.folder)
    if found is not None and not (plan.folder / str(plan.config["deepspeed"])).is_file():
        own["deepspeed"] = str(found)
    changed = {key.partition("__")[0]: None for key in plan.overrides}
    values = {**{key: plan.config.get(key) for key in changed}, **own}
    # python-fire, Axolotl's parser, reads a value back unchanged from its repr.
    flags = [f"--{key}={value!r}" for key, value in values.items()]
    train = ["-m", "axolotl.cli.train", str(plan.recipe)]
    return (accelerate, "launch", *machine, *train, *flags)


def deepspeed_file(config: Mapping[str, Any], recipe: Path, folder: Path) -> Path | None:
    """The DeepSpeed file that a recipe names; None if it names none, or none that is there.

    Looked for where the launch starts, then beside the folder of recipes that `recipe` is of, then
    beside ours.
    """
    name = config.get("deepspeed")
    if not isinstance(name, str):
        return None
    places = (
        folder / name,
        recipe.resolve().parent.parent.parent / name,
        find_recipes().parent / name,
    )
    return next((place for place in places if place.is_file()), None)


def training_environment(plan: TrainingPlan) -> dict[str, str]:
    """The environment of the training process; what the caller set wins over our defaults."""
    package_root = str(Path(__file__).resolve().parent.parent.parent)
    search = [package_root, *filter(None, [os.environ.get("PYTHONPATH")])]
    defaults = {
        "AXOLOTL_DO_NOT_TRACK": "1",  # else a wait of 10 s and a call home at each start
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONHASHSEED": "0",
        # Spinning OpenMP threads make steps three times slower on a machine that is busy.
        "OMP_WAIT_POLICY": "passive",
    }
    forced = {
        "PYTHONPATH": os.pathsep.join(search),
        "PYTHONUNBUFFERED": "1",
    }
    if (plan.folder / str(plan.config["base_model"])).is_dir() and plan.data:
        defaults |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    if plan.gpus == 0:
        # accelerate would count physical cores, and sets one thread where hyper-threads are two.
        defaults["OMP_NUM_THREADS"] = str(len(os.sched_getaffinity(0)))
        forced |= {"CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "true"}
    return {**defaults, **os.environ, **forced}
