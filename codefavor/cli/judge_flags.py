"""Flags that say which judge is meant, shared by every command that asks one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from codefavor.errors import ConfigError
from codefavor.evaluation.judge_options import (
    BY_ACCURACY,
    MODEL_TYPES,
    JudgeOptions,
    SandboxOptions,
)
from codefavor.judges.likelihood import Reduction
from codefavor.judges.llm import Mode
from codefavor.judges.process import Pooling
from codefavor.text import comma_list

ModelType = Annotated[
    str, typer.Option("--model-type", help=f"One of: {', '.join(sorted(MODEL_TYPES))}.")
]
ModelId = Annotated[
    str,
    typer.Option(
        help="Model id, folder of a local model, shorter/longer (length-bias), or the members of "
        "a jury or cascade with commas: result files, or model-type:model-id."
    ),
]
ModelUrl = Annotated[str, typer.Option(help="The server's base URL.")]
Adapter = Annotated[Path | None, typer.Option(help="LoRA adapter of a local model.")]
Reference = Annotated[
    Path | None, typer.Option(help="Reference model of an implicit reward without adapter.")
]
ReductionFlag = Annotated[
    str, typer.Option("--reduction", help=f"Likelihood: {', '.join(get_args(Reduction))}.")
]
PoolingFlag = Annotated[
    str, typer.Option("--pooling", help=f"Process reward: {', '.join(get_args(Pooling))}.")
]
Dtype = Annotated[
    str, typer.Option(help="Numbers of pair-rm and likelihood: auto, float32, bfloat16, float16.")
]
ModeFlag = Annotated[str, typer.Option("--mode", help=f"Chat: {', '.join(get_args(Mode))}.")]
MaxTokens = Annotated[
    int, typer.Option("--max-tokens", "--max-new-tokens", help="Longest reply of a chat judge.")
]
Temperature = Annotated[float, typer.Option(help="0 is greedy.")]
System = Annotated[
    str,
    typer.Option(
        help="System turn it was trained with: empty or none (left out: the judge's default)."
    ),
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, ... (left out: whatever there is)")]
Name = Annotated[str, typer.Option(help="What the judge is called in results.")]
Weights = Annotated[
    str,
    typer.Option(
        help=f"Jury: a number for each member, or {BY_ACCURACY}: by how often each was right on "
        "other problems."
    ),
]
ByProbability = Annotated[
    bool,
    typer.Option("--by-probability", help="Jury: a stated probability is the share of a vote."),
]
MinConfidence = Annotated[
    float,
    typer.Option(min=0.5, max=1, help="Cascade: below it the next member is asked."),
]
TestsOf = Annotated[
    str,
    typer.Option(
        "--tests",
        help="Execution: where the tests are, named sets or JSONL files of problems with commas "
        "(left out: the pairs' own).",
    ),
]
Workers = Annotated[int, typer.Option(help="Execution: programs at a time; 0 takes every core.")]
CpuS = Annotated[float, typer.Option(help="Execution: CPU seconds a program may use.")]
WallS = Annotated[float, typer.Option(help="Execution: wall seconds a program may take.")]
MemoryMib = Annotated[int, typer.Option(help="Execution: MiB a program may map.")]
Level = Annotated[str, typer.Option(help="Execution: least isolation accepted: L3, L2, L1.")]


@dataclass(frozen=True, kw_only=True)
class JudgeFlags:
    """Which judge, and how it is made; `expanded` makes command line options of its fields."""

    model_type: ModelType
    model_id: ModelId = ""
    model_url: ModelUrl = ""
    adapter: Adapter = None
    reference: Reference = None
    reduction: ReductionFlag = "mean"
    pooling: PoolingFlag = "mean"
    dtype: Dtype = "auto"
    mode: ModeFlag = "auto"
    max_tokens: MaxTokens = 1024
    temperature: Temperature = 0.0
    system: System = ""
    device: Device = None
    name: Name = ""
    weights: Weights = ""
    by_probability: ByProbability = False
    min_confidence: MinConfidence = 0.8
    tests: TestsOf = ""
    workers: Workers = 0
    cpu_s: CpuS = 5.0
    wall_s: WallS = 20.0
    memory_mib: MemoryMib = 1024
    level: Level = "L2"

    def options(self, seed: int) -> JudgeOptions:
        """The judge that these flags mean; `seed` is that of judges which draw."""
        return JudgeOptions(
            model_type=self.model_type,
            model_id=self.model_id,
            model_url=self.model_url,
            adapter=self.adapter,
            reference=self.reference,
            reduction=self.reduction,
            pooling=self.pooling,
            dtype=self.dtype,
            mode=self.mode,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            seed=seed,
            name=self.name,
            device=self.device,
            system=self.system,
            weights=self.weights,
            by_probability=self.by_probability,
            min_confidence=self.min_confidence,
            problems=comma_list(self.tests),
            sandbox=SandboxOptions(
                workers=self.workers,
                level=self.level,
                cpu_s=self.cpu_s,
                wall_s=self.wall_s,
                memory_bytes=self.memory_mib << 20,
            ),
        )


def one_of(flag: str, value: Any, known: tuple[Any, ...]) -> Any:
    """The value of a flag; raises ConfigError unless it is None or one of the known ones."""
    if value is not None and value not in known:
        raise ConfigError(f"{flag} is {value!r}; expected one of: {', '.join(known)}")
    return value
