"""An example or two for every command, shown below its help. A test parses each of them."""

from __future__ import annotations

import click

# What is typed behind `codefavor`, by the command that it calls.
EXAMPLES: dict[str, tuple[str, ...]] = {
    "synthesise drafts": (
        "synthesise drafts --model openai:gpt-4o-mini --n 4 --out drafts.jsonl",
        "synthesise drafts --problems mbpp --model local:FOLDER --dry-run --out drafts.jsonl",
    ),
    "synthesise commit-instruct": (
        "synthesise commit-instruct --commits editpackft --model openai:gpt-4o-mini --out ci.jsonl",
    ),
    "synthesise critic-evol": (
        "synthesise critic-evol --drafts drafts.jsonl --model openai:gpt-4o --out ce.jsonl",
    ),
    "score": ("score drafts.jsonl --problems starter --out scored.jsonl",),
    "pair mutants": ("pair mutants --out outputs/pairs",),
    "pair tests": ("pair tests scored.jsonl --out pairs.jsonl",),
    "pair balance": ("pair balance pairs.jsonl --out balanced.jsonl",),
    "pair audit": ("pair audit pairs.jsonl",),
    "pair dedup": ("pair dedup pairs.jsonl --out unique.jsonl",),
    "pair decontaminate": ("pair decontaminate pairs.jsonl --out clean.jsonl",),
    "pair check": ("pair check train.jsonl test.jsonl",),
    "convert": (
        "convert pairs.jsonl --format pairwise --out train.jsonl",
        "convert pairs.jsonl --format dpo --system none --out train.jsonl",
    ),
    "card": ("card train=train.jsonl test=test.jsonl --out my-data",),
    "recipes list": ("recipes list",),
    "recipes show": ("recipes show recipes/smollm2-135m/pairwise.yaml",),
    "recipes render": ("recipes render --check",),
    "recipes diff": (
        "recipes diff recipes/smollm2-135m/pairwise.yaml recipes/smollm2-135m/dpo.yaml",
    ),
    "recipes record": ("recipes record outputs/train",),
    "recipes prepare": ("recipes prepare recipes/smollm2-135m/pairwise.yaml",),
    "recipes check": ("recipes check recipes/smollm2-135m/pairwise.yaml",),
    "recipes rehearse": (
        "recipes rehearse recipes/smollm2-135m/pairwise.yaml",
        "recipes rehearse --all",
    ),
    "recipes preview": ("recipes preview recipes/smollm2-135m/pairwise.yaml",),
    "recipes estimate": ("recipes estimate recipes/gpu1x24/qwen3-4b-reward.yaml",),
    "train": (
        "train recipes/smollm2-135m/pairwise.yaml",
        "train recipes/smollm2-135m/dpo.yaml --set output_dir=outputs/mine",
    ),
    "merge": ("merge outputs/a outputs/b --out outputs/merged",),
    "export": ("export outputs/train --out my-judge",),
    "evaluate codeprefbench": (
        "evaluate codeprefbench --model openai:gpt-4o-mini --budget-usd 5",
        "evaluate codeprefbench --model shorter --protocol paper",
    ),
    "evaluate pairs": (
        "evaluate pairs --data pairs.jsonl --model likelihood:FOLDER --reduction mean",
        "evaluate pairs --data pairs.jsonl --model jury:results/a.json,results/b.json",
    ),
    "rank": (
        "rank samples.jsonl --problems humaneval+ --model reward:FOLDER --out ranked.jsonl",
        "rank drafts.jsonl --method best-of-n --keep 1 --model execution --out best.jsonl",
    ),
    "report demo": ("report demo outputs/demo/report.json --out report.html",),
    "report data": ("report data pairs.jsonl --out pairs.html",),
    "report leaderboard": ("report leaderboard results/a.json results/b.json --out board.html",),
    "cache list": ("cache list",),
    "cache prune": ("cache prune --older-than-days 30",),
    "sandbox check": ("sandbox check --sandbox-level L3",),
    "sandbox explain": ("sandbox explain tests.py", "sandbox explain mbpp+"),
    "doctor": ("doctor",),
    "demo": ("demo",),
}


def examples_of(path: str) -> tuple[str, ...]:
    """The examples of a command, such as "evaluate pairs"."""
    if path.startswith("evaluate ") and path not in EXAMPLES:
        return (f"{path} --model openai:gpt-4o-mini --limit 100",)
    return EXAMPLES.get(path, ())


def add_examples(command: click.Command, path: str) -> click.Command:
    """The command, its help ending with its examples; those of a group, each with its own."""
    if isinstance(command, click.Group):
        for name, one in command.commands.items():
            add_examples(one, f"{path} {name}")
    examples = examples_of(path)
    if examples:
        # An empty line keeps each on a line of its own.
        command.epilog = "\n\n".join(["Examples:", *(f"codefavor {one}" for one in examples)])
    return command
