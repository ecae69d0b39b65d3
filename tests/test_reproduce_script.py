"""`scripts/reproduce_codefavor.sh`: every line parses, and every path it reads is made before."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
import yaml

from codefavor.audits.contamination_report import USUAL
from codefavor.cli.main import app
from codefavor.cli.train import read_overrides
from codefavor.records import Row, write_rows
from codefavor.training.model_shapes import find_shape, known_models
from codefavor.training.plan import apply_overrides
from codefavor.training.recipes import load_yaml
from tests.kit.server import Call, LoopbackServer, Reply, openai_reply
from tests.kit.teacher import CONSTRUCTED, question_of, teacher

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "scripts" / "reproduce_codefavor.sh"
SMALL = {"SMOKE": "1"}
ALL_DATA = {
    "DATA": "commit-cls critic-cls mix-cls commit-gen critic-gen mix-gen",
    "CONTROLLED_DATA": "critic-8b-cls critic-70b-cls mix-comments-cls mix-70b-gen",
}


def plan(tmp_path: Path, **environment: str) -> list[list[str]]:
    """The commands of a run, as words."""
    done = subprocess.run(
        ["bash", str(SCRIPT)],
        env={**os.environ, "PLAN": "1", "SMOKE": "", "WORK": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return [shlex.split(line) for line in done.stdout.splitlines()]


def recipe_of(words: list[str]) -> Path | None:
    """The recipe that a launch trains, None for any other command."""
    if words[:2] == ["accelerate", "launch"]:
        return ROOT / words[-1]
    return ROOT / words[2] if words[:2] == ["codefavor", "train"] else None


def config_of(words: list[str]) -> Row:
    """The settings that a launch trains with: the recipe's, under SMOKE with its layer on top."""
    recipe = recipe_of(words)
    assert recipe is not None
    config = load_yaml(recipe)
    if words[0] == "codefavor":
        overrides = read_overrides([option(words, "--set")], [option(words, "--layer")])
        config = apply_overrides(config, overrides)
    return config


def option(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]


def path_of(word: str) -> str:
    """The path in a word: a judge is written KIND:FOLDER."""
    return re.sub(r"^(local|pairwise):", "", word)


def parse(words: list[str]) -> None:
    """Let the command line parse the words as it would before it does anything."""
    command = typer.main.get_command(app)
    context = command.make_context("codefavor", list(words[1:]))
    rest = [*context._protected_args, *context.args]
    while rest and hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)
        rest = [*context._protected_args, *context.args]


@pytest.fixture
def long_command_line(monkeypatch):
    # Without words, the verbs are stubs that only the overview needs.
    monkeypatch.setattr("sys.argv", ["codefavor", "synthesise"])


@pytest.mark.parametrize("environment", [{}, SMALL], ids=["whole", "smoke"])
def test_every_command_line_parses(tmp_path, environment, long_command_line):
    commands = plan(tmp_path, **environment)
    for words in commands:
        assert words[0] in {"codefavor", "accelerate"}
        if words[0] == "codefavor":
            parse(words)
        else:
            assert words[-3:-1] == ["-m", "axolotl.cli.train"]
    assert {words[1] for words in commands if words[0] == "codefavor"} >= {
        "synthesise", "pair", "convert", "card", "merge", "evaluate", "report",
    }  # fmt: skip


@pytest.mark.parametrize(
    "environment", [{}, SMALL, {**SMALL, **ALL_DATA}], ids=["whole", "smoke", "smoke_of_all"]
)
def test_every_path_that_is_read_was_made_before(tmp_path, environment):
    # C1: no recipe of the original trained, because no script made the paths they named.
    made = {"outputs/pairs/probe.jsonl"}  # by the script itself
    for words in plan(tmp_path, **environment):
        recipe = recipe_of(words)
        if recipe is not None:
            config = config_of(words)
            read = {entry["path"] for entry in config["datasets"]}
            if config["base_model"].startswith("outputs/"):
                read.add(config["base_model"])
            assert read <= made, f"{recipe}: nothing made {sorted(read - made)}"
            made.add(config["output_dir"])
            continue
        if words[1:3] == ["recipes", "prepare"]:
            made.add(yaml.safe_load((ROOT / words[3]).read_text())["base_model"])
            continue
        written = {option(words, name) for name in ("--out", "--report") if name in words}
        inputs = {
            path for word in words if (path := path_of(word)).startswith("outputs/")
        } - written
        beside = {path for path in inputs if path.removesuffix(".journal") in made}
        if words[1:3] != ["report", "leaderboard"]:
            assert inputs - beside <= made, (
                f"{words}: nothing made {sorted(inputs - beside - made)}"
            )
        made |= written


def test_every_recipe_of_the_paper_is_trained_and_measured(tmp_path):
    commands = plan(tmp_path)
    trained = {recipe for recipe in map(recipe_of, commands) if recipe is not None}
    assert trained == set((ROOT / "recipes" / "paper").glob("*.yaml"))
    measured = {path_of(option(w, "--model")) for w in commands if w[1] == "evaluate"}
    for recipe in trained:
        assert yaml.safe_load(recipe.read_text())["output_dir"] in measured
    assert {path for path in measured if path.startswith("outputs/merged/")} == {
        f"outputs/merged/{model}-{kind}"
        for model in ("mistral-7b", "mistral-nemo-12b", "llama-3-8b", "gemma-2-9b")
        for kind in ("cls", "gen")
    }


def test_a_smoke_run_stands_for_every_data_set_of_the_paper(tmp_path):
    commands = plan(tmp_path, **SMALL, **ALL_DATA)
    trained = {recipe for recipe in map(recipe_of, commands) if recipe is not None}
    assert trained == set((ROOT / "recipes" / "paper").glob("mistral-7b-*.yaml"))
    for words in commands:
        if recipe_of(words):
            config = config_of(words)
            assert (config["max_steps"], config["bf16"]) == (2, False)
            assert not {"deepspeed", "special_tokens"} & set(config)


def test_the_conversion_is_the_one_that_the_recipes_name(tmp_path):
    for words in plan(tmp_path):
        if words[1] == "convert":
            line = (
                f"codefavor convert {words[2]} --format {option(words, '--format')} "
                f"--system {option(words, '--system')} --out {option(words, '--out')}"
            )
            named = [
                recipe.name
                for recipe in (ROOT / "recipes" / "paper").glob("*.yaml")
                if line in recipe.read_text()
            ]
            assert named, f"no recipe names: {line}"


def test_without_the_benchmark_nothing_is_begun(tmp_path):
    environment = {**os.environ, "SMOKE": "1", "PLAN": "", "WORK": str(tmp_path)}
    environment.pop("CODEFAVOR_DATA", None)
    done = subprocess.run(
        ["bash", str(SCRIPT)],
        env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert "CODEFAVOR_DATA" in done.stderr
    assert not (tmp_path / "outputs").exists()


def run_whole(work: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The real experiment, not its plan and not SMOKE, as far as it goes here."""
    return subprocess.run(
        ["bash", str(SCRIPT)],
        env={**os.environ, "SMOKE": "", "PLAN": "", "WORK": str(work), **environment},
        capture_output=True, text=True, check=False, timeout=3600,
    )  # fmt: skip


def benchmarks(folder: Path) -> Path:
    """A data folder of which only CodePrefBench's folder is there."""
    (folder / "codeprefbench").mkdir(parents=True)
    return folder


def programs(folder: Path, **scripts: str) -> str:
    """A PATH with small shell programs before the others."""
    folder.mkdir()
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


DF = "printf 'F B U Available C M\\n/ 1 1 %s 1%% /\\n'"


def test_a_disk_that_is_too_small_is_said_before_anything_is_asked(tmp_path):
    done = run_whole(
        tmp_path / "work",
        CODEFAVOR_DATA=str(benchmarks(tmp_path / "data")),
        PATH=programs(tmp_path / "bin", df=f"{DF} 400000000"),
    )
    assert done.returncode == 2
    assert "has 409 GB free and 0 GB of earlier results; the whole needs 850 GB" in done.stderr
    assert not (tmp_path / "work" / "outputs").exists()


def test_the_disk_that_is_asked_for_holds_every_result():
    """Weights of all judges and merged ones, and of one training its last checkpoint twice."""
    stated = int(re.search(r"DISK_GB=(\d+)", SCRIPT.read_text())[1])
    root = ROOT / "recipes"
    shapes = {name: find_shape({"base_model": name}, root, root) for name in known_models(root)}
    weights, models = 0.0, {}
    for recipe in (ROOT / "recipes" / "paper").glob("*.yaml"):
        config = load_yaml(recipe)
        assert config["save_only_model"] and config["save_total_limit"] == 1
        models[config["base_model"]] = 2.0 * shapes[config["base_model"]].parameters
        weights += models[config["base_model"]]
    needed = (weights + 2 * sum(models.values()) + 2 * max(models.values())) / 1e9
    assert 700 < needed <= stated < 1.2 * needed


@pytest.mark.integration
def test_a_benchmark_that_cannot_be_had_ends_it_before_anything_is_asked(tmp_path):
    done = run_whole(
        tmp_path / "work",
        CODEFAVOR_DATA=str(benchmarks(tmp_path / "data")),
        AGAINST="humaneval+",
        PATH=programs(tmp_path / "bin", df=f"{DF} 9000000000"),
    )
    assert done.returncode != 0
    assert "HumanEval+: evalplus/humanevalplus gave nothing" in done.stderr
    assert not (tmp_path / "work" / "outputs" / "raw").exists()


def test_every_set_is_compared_with_the_usual_benchmarks_or_those_that_are_named(tmp_path):
    for wanted, environment in ((list(USUAL), {}), (["mbpp"], {"AGAINST": "mbpp"})):
        compared = [words for words in plan(tmp_path, **environment) if "decontaminate" in words]
        assert len(compared) == 6
        for words in compared:
            given = [one.split("=")[1] for one in words if one.startswith("--against=")]
            assert given == wanted


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.skipif(not os.environ.get("CODEFAVOR_DATA"), reason="CODEFAVOR_DATA is not set")
def test_the_whole_asks_its_servers_as_the_paper_did(tmp_path):
    """Up to the first line that needs a base model's tokenizer, which is not to be had here."""
    data = tmp_path / "data"
    data.mkdir()
    for folder in Path(os.environ["CODEFAVOR_DATA"]).iterdir():
        (data / folder.name).symlink_to(folder)
    pack = data / "humanevalpack"
    (python, *_), target = sorted(pack.glob("*python.jsonl")), pack.resolve()
    pack.unlink()
    pack.mkdir()
    for language in ("python", "js", "java", "go", "cpp", "rust"):
        name = f"humanevalpack_{language}.jsonl"
        # Where a language is not at hand its problems are those of another.
        (pack / name).symlink_to(target / (name if (target / name).exists() else python.name))
    (data / "selfoss").mkdir()
    tasks = [{"instruction": f"Add {n} numbers in Python."} for n in (2, 3)]
    write_rows(data / "selfoss" / "self-oss-instruct-sc2-exec-filter-50k.jsonl", tasks)
    numbers = itertools.count()
    ask = teacher(
        "sections",
        construct=lambda _: {**CONSTRUCTED, "instruction": f"Add {next(numbers)} lists."},
    )

    def answer(call: Call) -> Reply:
        if kind_of(call) == "draft":
            return openai_reply(call, f"```python\n{CONSTRUCTED['rejected_code']}```")
        sampling = SimpleNamespace(json_schema=call.body.get("response_format"))
        asked = SimpleNamespace(messages=call.body["messages"], sampling=sampling)
        return openai_reply(call, ask(asked))

    with LoopbackServer(answer) as strong, LoopbackServer(answer) as weak:
        done = run_whole(
            tmp_path / "work",
            CODEFAVOR_DATA=str(data),
            COMMITS=str(small_repository(tmp_path / "repository")),
            PATH=programs(tmp_path / "bin", df=f"{DF} 9000000000"),
            TEACHER_URL=f"{strong.url}/v1",
            DRAFTER_URL=f"{weak.url}/v1",
            OPENAI_API_KEY="none",
        )
    assert "Mistral-7B-Instruct-v0.3" in done.stderr.splitlines()[-1], done.stderr[-3000:]
    limits: dict[tuple[str, str], set[int]] = {}
    for server, name in ((strong, "70B"), (weak, "8B")):
        for call in server.calls:
            assert name in call.body["model"]
            kind = kind_of(call)
            limit = call.body.get("max_tokens") or call.body.get("max_completion_tokens")
            limits.setdefault((name, kind), set()).add(limit)
    assert limits["70B", "draft"] == limits["8B", "draft"] == {1024}
    assert limits["70B", "critique"] == limits["8B", "critique"] == {2048}
    assert limits["70B", "reason"] == limits["70B", "construct"] == {2048}
    pairs = tmp_path / "work" / "outputs" / "pairs"
    report = json.loads((pairs / "critic_evol.overlap.json").read_text())
    assert report["not_checked"] == []


def kind_of(call: Call) -> str:
    """Which question a call asks; a chat server is asked for a draft in words."""
    messages = call.body["messages"]
    is_draft = "Answer with one python code block" in messages[-1]["content"]
    return "draft" if is_draft else question_of(SimpleNamespace(messages=messages))


def small_repository(folder: Path) -> Path:
    """A history of two functions, written and then improved."""
    folder.mkdir()
    git = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    bodies = (
        "    result = 0\n    for one in values:\n        result = result + one\n    return result",
        "    return sum(values)",
    )
    (folder / "LICENSE").write_text((ROOT / "LICENSE").read_text())
    for body, name in itertools.product(bodies, ("total", "amount")):
        (folder / f"{name}.py").write_text(f"def {name}(values):\n{body}\n")
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-q", "-m", f"Write {name} in one expression"], check=True)
    return folder


@pytest.mark.slow
def test_the_smoke_run_goes_to_its_end(tmp_path):
    done = subprocess.run(
        ["bash", str(SCRIPT)],
        env={**os.environ, "SMOKE": "1", "PLAN": "", "WORK": str(tmp_path)},
        capture_output=True, text=True, check=False, timeout=3 * 3600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    outputs = tmp_path / "outputs"
    assert (outputs / "report" / "leaderboard.html").is_file()
    assert (outputs / "card" / "README.md").is_file()
    results = [json.loads(path.read_text()) for path in (outputs / "results").glob("*.json")]
    # Two baselines, six trained judges and two merged ones, each on two tasks.
    assert len(results) == 10
    assert all(result["metrics"]["overall"]["n_error"] == 0 for result in results)
