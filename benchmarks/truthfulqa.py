"""TruthfulQA's MC1 and MC2 beside lm-evaluation-harness, on one model in one run.

Each side runs in a process of its own on the same questions; CPU time is the child's, from after
the model is loaded. Prints both times, their ratio, and the largest difference of any item.

    python benchmarks/truthfulqa.py MODEL_FOLDER --limit 100 [--chat] [--dtype float64]

In float32 two correct programs differ in the sixth place, because batches are of other widths;
float64 shows whether they compute the same.

CODEFAVOR_DATA names the folder that holds truthfulqa/mc_task.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def run_ours(options: argparse.Namespace, questions: list[dict[str, Any]], folder: Path) -> Any:
    """This package: {question: {"mc1", "mc2"}} and CPU seconds."""
    from codefavor.backends import make_backend
    from codefavor.evaluation.multiple_choice import evaluate_choices, published_shots
    from codefavor.sources.truthful import read_truthfulqa

    path = folder / "questions.json"
    path.write_text(json.dumps(questions))
    items = read_truthfulqa(path, None)
    backend: Any = make_backend(f"local:{options.model}", threads=1, dtype=options.dtype)
    started = cpu_seconds()
    result, _ = evaluate_choices(
        items, backend, "m", folder / "r.json", shots=published_shots(), is_chat=options.chat
    )
    used = cpu_seconds() - started
    scores = {one["question"]: result["items"][one["id"]]["measures"] for one in items}
    return scores, used


def run_lm_eval(options: argparse.Namespace, questions: list[dict[str, Any]], folder: Path) -> Any:
    """lm-evaluation-harness, whose tasks read the same questions from a file."""
    import lm_eval
    import torch
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    torch.set_num_threads(1)
    rows = []
    for one in questions:
        row: dict[str, Any] = {"question": one["question"]}
        for name in ("mc1_targets", "mc2_targets"):
            row[name] = {"choices": list(one[name]), "labels": list(one[name].values())}
        rows.append(json.dumps(row))
    data = folder / "questions.jsonl"
    data.write_text("\n".join(rows))
    tasks = Path(next(iter(lm_eval.__path__))) / "tasks" / "truthfulqa"
    for name in ("mc1", "mc2"):
        (folder / f"own_{name}.yaml").write_text(
            f"include: {tasks}/truthfulqa_{name}.yaml\ntask: own_{name}\ntag: []\n"
            f"dataset_path: json\ndataset_name: null\n"
            f"dataset_kwargs:\n  data_files:\n    validation: {data}\n"
        )
    harness = HFLM(pretrained=options.model, dtype=options.dtype, device="cpu", batch_size=8)
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    started = cpu_seconds()
    found = lm_eval.simple_evaluate(
        harness, tasks=["own_mc1", "own_mc2"], task_manager=manager, log_samples=True,
        apply_chat_template=options.chat, bootstrap_iters=0,
    )  # fmt: skip
    used = cpu_seconds() - started
    scores: dict[str, dict[str, float]] = {}
    for name in ("mc1", "mc2"):
        for sample in found["samples"][f"own_{name}"]:
            scores.setdefault(sample["doc"]["question"], {})[name] = float(sample["acc"])
    return scores, used


SIDES = {"codefavor": run_ours, "lm-eval": run_lm_eval}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--chat", action="store_true")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--side", choices=SIDES)
    options = parser.parse_args()
    data = Path(os.environ["CODEFAVOR_DATA"]) / "truthfulqa" / "mc_task.json"
    questions = json.loads(data.read_text(encoding="utf-8"))[: options.limit]
    if options.side:
        with tempfile.TemporaryDirectory() as folder:
            found = SIDES[options.side](options, questions, Path(folder))
        print(json.dumps(found))
        return
    sides = {}
    for name in SIDES:
        command = [sys.executable, __file__, *sys.argv[1:], "--side", name]
        done = subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, check=True,
        )  # fmt: skip
        sides[name] = json.loads(done.stdout.splitlines()[-1])
        print(f"{name}: {sides[name][1]:.1f} CPU-s for {len(sides[name][0])} questions")
    (ours, cpu), (theirs, their_cpu) = sides["codefavor"], sides["lm-eval"]
    assert ours.keys() == theirs.keys()
    for name in ("mc1", "mc2"):
        gaps = [abs(ours[one][name] - theirs[one][name]) for one in ours]
        mean = sum(one[name] for one in ours.values()) / len(ours)
        print(f"{name}: {100 * mean:.2f}, largest difference of an item {max(gaps):.2g}")
    print(f"lm-eval uses {their_cpu / cpu:.2f} times the CPU time")


if __name__ == "__main__":
    main()
