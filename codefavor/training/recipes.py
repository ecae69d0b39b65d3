"""Recipes: layers and a matrix become complete Axolotl YAML files; pure apart from reading."""

from __future__ import annotations

import hashlib
import re
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from codefavor.errors import ConfigError
from codefavor.records import Row, canonical_json

RENDERED_BY = (
    "# Rendered by `codefavor recipes render`: edit recipes/layers and matrix.yaml instead."
)
_LIST_WIDTH = 60
NO_TELEMETRY = "AXOLOTL_DO_NOT_TRACK=1"
_OWN_LINE = "this recipe's own line of the matrix"
_ASKED_WITHOUT = "rows have no system turn, so the judge is asked without one too: --system none"
# What a method trains where it is no model of words, also by its name in `recipes new`.
HEAD_CLASSES = {
    "reward": "AutoModelForSequenceClassification",
    **dict.fromkeys(("process_reward", "process"), "AutoModelForTokenClassification"),
}
# Methods whose reward is relative to a reference model.
WITH_REFERENCE = ("dpo", "ipo", "kto")
PREFERENCES = (*WITH_REFERENCE, "simpo", "orpo")


@dataclass(frozen=True)
class MatrixLine:
    """One recipe of the matrix. `set` is merged over the layers; `gpus` 0 means any machine.

    `hardware` says which GPUs, as in 4x80 ("" where any will do); `reasons` why a key of `set` is
    what it is; `header` is merged like that of a layer.
    """

    name: str
    purpose: str
    layers: tuple[str, ...]
    gpus: int = 0
    set: Row = field(default_factory=dict)
    hardware: str = ""
    reasons: Mapping[str, str] = field(default_factory=dict)
    header: Row = field(default_factory=dict)

    @property
    def file_name(self) -> str:
        """The path of the rendered recipe below the folder of recipes."""
        return f"{self.name}.yaml"


@dataclass(frozen=True)
class Recipe:
    """A complete recipe: the Axolotl configuration, and what its header tells a reader.

    `origins` names for every top-level key the layer that set it last ("matrix" for `set`),
    `comments` the comment lines that stand above it there.
    """

    line: MatrixLine
    config: Row
    header: Row
    origins: Mapping[str, str]
    titles: Mapping[str, str]
    comments: Mapping[str, tuple[str, ...]]

    @property
    def digest(self) -> str:
        """12 hex digits of the configuration's content: what a recorded result belongs to."""
        return config_digest(self.config)


def config_digest(config: Mapping[str, Any]) -> str:
    """12 hex digits of a configuration's content, whatever its order and comments."""
    return hashlib.sha256(canonical_json(config).encode()).hexdigest()[:12]


def find_recipes() -> Path:
    """The folder of recipes: `recipes/` where the command runs, else the one that came with us."""
    here = Path.cwd() / "recipes"
    package = Path(__file__).resolve().parent.parent
    for folder in (here, package.parent / "recipes", package / "_shipped" / "recipes"):
        if (folder / "matrix.yaml").is_file():
            return folder
    raise ConfigError(f"no folder of recipes: no matrix.yaml in {here} nor beside the package")


def load_yaml(path: Path) -> Row:
    """A YAML file that must hold a mapping with string keys, each of them once."""
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: expected a mapping, found {type(value).__name__}")
    return value


# libyaml's parser where it is built in: 200 recipes are read in a second instead of ten.
_FastLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _StrictLoader(_FastLoader):  # type: ignore[misc]
    """A key that stands twice is an error, and 1e-4 is a number (as in YAML 1.2)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = str(key_node.value)
            if key in seen:
                line = key_node.start_mark.line + 1
                raise yaml.YAMLError(f"line {line}: the key {key!r} stands twice")
            seen.add(key)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9][0-9_]*(?:\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def parse_value(text: str) -> Any:
    """One value as it would stand in a recipe; raises ConfigError for what is not YAML."""
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{text!r} is not a YAML value: {error}") from error


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> Row:
    """`over` on top of `base`: mappings are merged deep, all else is replaced, null removes."""
    merged = dict(base)
    for key, value in over.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            below = merged.get(key)
            merged[key] = merge(below if isinstance(below, Mapping) else {}, value)
        else:
            merged[key] = value
    return merged


def build(line: MatrixLine, root: Path) -> Recipe:
    """The complete recipe of a matrix line; output folders follow from its name."""
    config: Row = {}
    header: Row = {}
    origins: dict[str, str] = {}
    titles: dict[str, str] = {}
    comments: dict[str, tuple[str, ...]] = {}
    for layer in flatten_layers(line.layers, root):
        path = root / "layers" / f"{layer}.yaml"
        content = load_yaml(path)
        content.pop("include", None)
        titles[layer], layer_comments = _read_comments(path)
        header = _merge_header(header, content.pop("header", {}))
        config = merge(config, content)
        for key in content:
            origins[key] = layer
            comments[key] = layer_comments.get(key, ())
    config = merge(config, line.set)
    header = _merge_header(header, line.header)
    origins.update(dict.fromkeys(line.set, "matrix"))
    comments |= {key: tuple(_comment(line.reasons.get(key, ""))) for key in line.set}
    for entry in [*config.get("datasets", []), *config.get("test_datasets", [])]:
        entry["path"] = entry["path"].format(**data_words(header))
        is_without = header.get("system") == "none"
        if is_without and str(entry.get("type")).startswith("bradley_terry."):
            # This reader writes a system turn for the column that it needs, also for an empty one.
            entry["drop_system_message"] = True
    if any(entry.get("drop_system_message") for entry in config.get("datasets", [])):
        # Of other methods the command says so that makes the rows.
        header = _merge_header(header, {"notes": [_ASKED_WITHOUT]})
    if config.get("dev_accuracy") and header.get("system") == "none":
        config["dev_accuracy"] = {**config["dev_accuracy"], "system": "none"}
    slug = line.name.replace("/", "-")
    defaults = {
        "output_dir": f"outputs/train/{slug}",
        "dataset_prepared_path": f"outputs/train/{slug}/prepared",
    }
    for key, value in defaults.items():
        if key not in config:
            config[key] = value
            origins[key] = "paths"
    own = "derived from the model, the GPUs and the estimate" if line.reasons else _OWN_LINE
    titles |= {"matrix": own, "paths": "where it writes"}
    return Recipe(line, config, header, origins, titles, comments)


def flatten_layers(layers: Sequence[str], root: Path) -> list[str]:
    """The layers in order of merging; what a layer includes comes before it."""
    flat: list[str] = []
    for layer in layers:
        included = load_yaml(root / "layers" / f"{layer}.yaml").get("include") or []
        flat += [*flatten_layers(included, root), layer]
    return flat


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, 96)]


def data_words(header: Row) -> dict[str, str]:
    """What `{system}` and `{variant}` mean in a data layer, by the model's kind of template."""
    if header.get("system", "empty") == "none":
        return {"system": " --system none", "variant": "-no-system"}
    return {"system": "", "variant": ""}


def _merge_header(base: Row, over: Mapping[str, Any]) -> Row:
    """Headers are merged like layers, but their lists are joined."""
    merged = dict(base)
    for key, value in over.items():
        if isinstance(value, list):
            merged[key] = [*merged.get(key, []), *value]
        else:
            merged[key] = value
    return merged


def _read_comments(path: Path) -> tuple[str, dict[str, tuple[str, ...]]]:
    """What a layer is (its first line), and the comments above each of its top-level keys."""
    first, *rest = path.read_text(encoding="utf-8").splitlines()
    if not first.startswith("# "):
        raise ConfigError(f"{path}: the first line must be a comment that says what the layer is")
    comments: dict[str, tuple[str, ...]] = {}
    above: list[str] = []
    for line in rest:
        if line.startswith("#"):
            above.append(line)
        elif match := re.match(r"(\w+):", line):
            inline = re.search(r"\s# .*", line)
            comments[match[1]] = (*above, *([inline[0].strip()] if inline else []))
            above = []
    return first[2:].strip(), comments


def global_batch(config: Mapping[str, Any], gpus: int) -> int:
    """Rows (pairs, for preference methods) of one optimiser step over all processes."""
    micro = int(config.get("micro_batch_size") or 1)
    accumulation = int(config.get("gradient_accumulation_steps") or 1)
    return micro * accumulation * max(1, gpus)


def method_of(config: Mapping[str, Any]) -> str:
    """The method of a configuration: the value of `rl`, else reward, process_reward or sft."""
    if config.get("rl"):
        return str(config["rl"])
    if config.get("reward_model"):
        return "reward"
    return "process_reward" if config.get("process_reward_model") else "sft"


def launch_line(recipe_path: str, gpus: int, hardware: str = "") -> str:
    """The bare command that runs a recipe, without any help of ours, and without telemetry.

    `hardware` is that of `machine_flags`.
    """
    machine = " ".join(["accelerate launch", *machine_flags(gpus, hardware)])
    return f"{NO_TELEMETRY} {machine} -m axolotl.cli.train {recipe_path}"


def machine_flags(gpus: int, hardware: str = "") -> list[str]:
    """What tells accelerate the processes and, where there are several, the machines.

    `hardware` is GPUSxGB, or NODESxGPUSxGB for several machines, each of which gets the command
    with its own number for RANK, and the first one's for ADDRESS.
    """
    flags = ["--num_processes", str(gpus)] if gpus else []
    nodes = _nodes(hardware)
    if nodes > 1:
        flags += ["--multi_gpu", "--num_machines", str(nodes), "--machine_rank", "RANK"]
        flags += ["--main_process_ip", "ADDRESS", "--main_process_port", "29500"]
        flags += ["--mixed_precision", "bf16", "--dynamo_backend", "no"]
    return flags


def _nodes(hardware: str) -> int:
    return int(hardware.split("x", maxsplit=1)[0]) if hardware.count("x") == 2 else 1


def processes_of(recipe: Path) -> int:
    """The number of GPUs that a recipe's header says it is for; 0 for any machine."""
    found = re.search(r"^# Runs on:  (\d+) GPU", recipe.read_text("utf-8"), re.MULTILINE)
    return int(found[1]) if found else 0


def hardware_of(recipe: Path) -> str:
    """The GPUs that a recipe's header says it is for, as in 4x80 or 2x8x80; "" for none."""
    found = re.search(r"^# Runs on:  .*, ([\dx]+);", recipe.read_text("utf-8"), re.MULTILINE)
    return found[1] if found else ""


def memory_of(recipe: Path) -> int:
    """The memory in GB of each GPU that a recipe's header says it is for; 0 where it says none."""
    hardware = hardware_of(recipe)
    return int(hardware.rpartition("x")[2]) if hardware else 0


def render(
    recipe: Recipe, measured: str = "not run", *, made_by: str = RENDERED_BY, path: str = ""
) -> str:
    """The text of a complete recipe: its header, then the keys grouped by layer.

    `made_by` is its first line, `path` the file that its commands name (default: its place among
    the recipes).
    """
    path = shlex.quote(path or f"recipes/{recipe.line.file_name}")
    parts = [made_by, *_header_lines(recipe, measured, path), ""]
    for group in recipe.titles:
        keys = {key: value for key, value in recipe.config.items() if recipe.origins[key] == group}
        if not keys:
            continue
        parts.append(f"# {group}: {recipe.titles[group]}")
        for key, value in keys.items():
            parts += recipe.comments.get(key, ())
            parts.append(dump({key: value}).rstrip("\n"))
        parts.append("")
    return "\n".join(parts).rstrip("\n") + "\n"


def dump(config: Mapping[str, Any]) -> str:
    """A mapping as YAML, in its own order, multi-line texts readable."""
    return str(
        yaml.dump(dict(config), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)
    )


class _Dumper(yaml.SafeDumper):  # type: ignore[misc, unused-ignore]
    """Short lists on one line; templates as blocks, other texts with line ends in quotes."""


def _represent_list(dumper: yaml.SafeDumper, value: list[Any]) -> yaml.Node:
    is_plain = all(isinstance(item, (str, int, float, bool)) for item in value)
    is_short = is_plain and sum(len(str(item)) + 2 for item in value) < _LIST_WIDTH
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=is_short)


def _represent_text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    style = None
    if "\n" in value:
        style = "|" if "{%" in value else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(list, _represent_list)
_Dumper.add_representer(str, _represent_text)


def _with_help(path: str, line: MatrixLine, config: Mapping[str, Any]) -> str:
    """The command that does more than the bare launch: on one machine ours, else Slurm's."""
    if (nodes := _nodes(line.hardware)) > 1:
        return f"sbatch --nodes {nodes} recipes/launch/slurm.sbatch {path}   (resumes)"
    # A killed run goes on where its optimizer states are kept.
    resumes = "resume" if config.get("auto_resume_from_checkpoints") else "no resume"
    return f"codefavor train {path}   (checks, live curves, {resumes}, run card)"


def _header_lines(recipe: Recipe, measured: str, path: str) -> list[str]:
    line, config = recipe.line, recipe.config
    micro = int(config.get("micro_batch_size") or 1)
    accumulation = int(config.get("gradient_accumulation_steps") or 1)
    processes = max(1, line.gpus)
    where = f"{line.gpus} GPU(s)" if line.gpus else "one process, on a CPU or any one GPU"
    if line.hardware:
        where += f", {line.hardware}"
    lines = [
        f"# Purpose:  {line.purpose}",
        f"# Layers:   {' + '.join(line.layers)}",
        f"# Runs on:  {where}; batch {global_batch(config, line.gpus)} = "
        f"{micro} (micro) x {accumulation} (accumulated) x {processes} (processes)",
    ]
    for command in recipe.header.get("produce", []):
        words = {"recipe": path, **data_words(recipe.header)}
        lines.append(f"# Needs:    {command.format(**words)}")
    for note in recipe.header.get("notes", []):
        lines += [f"# {text}" for text in textwrap.wrap(f"Note:     {note}", 96)]
    lines += [
        f"# Launch:   {launch_line(path, line.gpus, line.hardware)}",
        f"#      or   {_with_help(path, line, config)}",
        "# Paths are relative to the folder of the launch. Axolotl keys its prepared data by path,",
        "# not by content: a bare launch after the data changed needs an empty output_dir.",
        f"# Measured: {measured}",
    ]
    return lines
