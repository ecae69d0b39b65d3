"""An example or two for every command, shown below its help. A test parses each of them."""

from __future__ import annotations

import click

# What is typed behind `codefavor`, one a line.
EXAMPLES = """\
mine my-project https://example.org/other.git --languages python,go --out commits.jsonl
mine my-project --since 2024-01-01 --path src,lib --ref v2.0 --out commits.jsonl
synthesise drafts --model openai:gpt-4o-mini --n 4 --out drafts.jsonl
synthesise drafts --problems mbpp --model local:FOLDER --dry-run --out drafts.jsonl
synthesise commit-instruct --commits editpackft --model openai:gpt-4o-mini --out ci.jsonl
synthesise commit-instruct --commits commits.jsonl --model openai:gpt-4o-mini --out ci.jsonl
synthesise critic-evol --drafts drafts.jsonl --model openai:gpt-4o --out ce.jsonl
synthesise tests --problems mbpp --model openai:gpt-4o-mini --n 8 --out suites.jsonl
synthesise tests --problems mine.jsonl --own-tests --out suites.jsonl
synthesise tests --functions src --framework unittest --model openai:gpt-4o-mini --out suites.jsonl
synthesise drafts --model openai:gpt-4o-mini --shard 0/8 --out drafts.jsonl
synthesise levels --data squad-dev-v2.0.json --out levels.jsonl
synthesise levels --data qa.jsonl --levels hard --model openai:gpt-4o-mini --out hard.jsonl
score drafts.jsonl --problems starter --out scored.jsonl
score drafts.jsonl --problems starter --shard 0/8 --out scored.jsonl
merge-shards score drafts.jsonl --problems starter --out scored.jsonl
score suites.jsonl --tests --problems mbpp --keep kept.jsonl --out scored.jsonl
pair mutants --out outputs/pairs
pair mutants --kind hallucinations --out outputs/hallucinations
pair margins results/RESULT.json --out margins.jsonl
pair check-tests acecode --scored scored.jsonl --out problems.jsonl
pair tests scored.jsonl --plan
pair tests scored.jsonl --strategy hardest --out pairs.jsonl
pair efficiency scored.jsonl --problems mbpp --margin 2 --out faster.jsonl
pair security scored.jsonl --problems mbpp --out safer.jsonl
pair suites scored.jsonl --margin 0.4 --out pairs.jsonl
pair balance pairs.jsonl --out balanced.jsonl
pair audit pairs.jsonl
pair dedup pairs.jsonl --out unique.jsonl
pair decontaminate pairs.jsonl --out clean.jsonl
pair check train.jsonl test.jsonl
pair split pairs.jsonl --out outputs/pairs/mine
convert pairs.jsonl --format pairwise --out train.jsonl
convert pairs.jsonl --format dpo --system none --out train.jsonl
convert problems.jsonl --format grpo --task tests --out grpo.jsonl
card train.jsonl --split test=test.jsonl --out my-data
recipes list
recipes show recipes/smollm2-135m/pairwise.yaml
recipes render --check
recipes diff recipes/smollm2-135m/pairwise.yaml recipes/smollm2-135m/dpo.yaml
recipes record outputs/train
recipes prepare recipes/smollm2-135m/pairwise.yaml
recipes check recipes/smollm2-135m/pairwise.yaml
recipes rehearse recipes/smollm2-135m/pairwise.yaml
recipes rehearse --all
recipes preview recipes/smollm2-135m/pairwise.yaml
recipes new --model Qwen/Qwen3-8B --method dpo --gpus 4x80 --out mine.yaml
recipes estimate recipes/gpu1x24/qwen3-4b-reward.yaml
train recipes/smollm2-135m/pairwise.yaml
train recipes/smollm2-135m/dpo.yaml --set output_dir=outputs/mine
models download HuggingFaceTB/SmolLM2-135M-Instruct --out models/smollm2
models merge outputs/train --base models/smollm2 --out outputs/merged
merge outputs/a outputs/b --out outputs/merged
export outputs/train --out my-judge
evaluate codeprefbench --model openai:gpt-4o-mini --budget-usd 5
evaluate codeprefbench --model shorter --protocol paper
evaluate pairs --data pairs.jsonl --model likelihood:FOLDER --reduction mean
evaluate pairs --data pairs.jsonl --model jury:results/a.json,results/b.json
evaluate humaneval+ --model openai:gpt-4o-mini --samples 10 --temperature 0.8
evaluate mbpp+ --samples-file samples.jsonl --name my-model
evaluate problems --data problems.jsonl --model local:FOLDER
evaluate test-writing --problems humaneval --model openai:gpt-4o-mini --samples 5 --temperature 0.8
evaluate truthfulqa-mc --model local:FOLDER --set adapter=ADAPTER
evaluate truthfulqa --model openai:gpt-4o-mini --judge openai:gpt-4o
evaluate halueval --task qa --model openai:gpt-4o-mini --sample 500
evaluate halueval-answers --model local:FOLDER --entailment FOLDER --embeddings minilm
evaluate ifeval --model local:FOLDER --max-tokens 1280
compare results/starter.before.json results/starter.after.json --out compare.html
rank samples.jsonl --problems humaneval+ --model reward:FOLDER --out ranked.jsonl
rank drafts.jsonl --method best-of-n --keep 1 --model execution --out best.jsonl
report demo outputs/demo --out report.html
report data pairs.jsonl --out pairs.html
report suites results/RESULT.json --out suites.html
report leaderboard results/a.json results/b.json --out board.html
cache list
cache prune --older-than-days 30
sandbox check --sandbox-level L3
sandbox explain tests.py
sandbox explain mbpp+
doctor
demo
""".splitlines()


def examples_of(path: str) -> list[str]:
    """The examples of a command, such as "evaluate pairs"."""
    words = path.split()
    found = [one for one in EXAMPLES if one.split()[: len(words)] == words]
    return found or [f"{path} --model openai:gpt-4o-mini --limit 100"]


def add_examples(command: click.Command, path: str) -> click.Command:
    """The command, its help ending with its examples; those of a group, each with its own."""
    if isinstance(command, click.Group):
        for name, one in command.commands.items():
            add_examples(one, f"{path} {name}")
        return command
    # An empty line keeps each on a line of its own.
    command.epilog = "\n\n".join(["Examples:", *(f"codefavor {one}" for one in examples_of(path))])
    return command
