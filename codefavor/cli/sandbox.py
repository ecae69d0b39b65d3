"""`codefavor sandbox`: what isolation this machine gives, and which lane tests run in."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from codefavor.cli.engine_options import SandboxLevel
from codefavor.cli.option_groups import refuse
from codefavor.errors import DataError
from codefavor.sandbox import Lane, SandboxPool, choose_lane
from codefavor.sandbox.lane import DO_NOT_PARSE, NO_PROGRAM
from codefavor.settings import data_folder
from codefavor.sources.problems import NAMES, load_problems

app = typer.Typer(no_args_is_help=True, help="Prove the isolation of the sandbox; explain lanes.")


@app.command()
def check(
    sandbox_level: SandboxLevel = "L2",
) -> None:
    """Try to break out of the jail, and print the level that this proves."""
    with SandboxPool(1, required_level=sandbox_level) as pool:
        proof = pool.proof
        example = pool.run("def add(a, b):\n    return a + b\n", "assert add(1, 2) == 3\n")
    typer.echo(f"level          {proof.level}")
    typer.echo(f"layers         {', '.join(proof.layers) or 'none'}")
    typer.echo(f"kernel         {proof.kernel}, Landlock version {proof.landlock_abi}")
    typer.echo(f"one run        {example.outcome} in {example.seconds * 1000:.0f} ms")
    for reason in proof.reasons:
        typer.echo(f"not higher     {reason}")


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except ValueError:
        raise DataError(f"{path}: no text in UTF-8") from None


@app.command()
def explain(
    tests: Annotated[
        str,
        typer.Argument(
            help="A Python file of tests, a problem set (starter, humaneval+, ...), or a JSONL "
            "file of problems."
        ),
    ],
    entry_point: Annotated[
        str, typer.Option(help="The function under test, for a Python file that names others.")
    ] = "",
    setup: Annotated[
        Path | None,
        typer.Option(help="A Python file that runs before the program, as a problem's `setup`."),
    ] = None,
) -> None:
    """Say which lane runs these tests, and why, without running anything.

    `split`: the program cannot influence the verdict. `together`: tests and program share a
    process, as on your desk; believed only with `--accept together`.
    """
    lanes: list[tuple[str, Lane]]
    if tests in NAMES or Path(tests).suffix in (".jsonl", ".gz"):
        theirs = {"entry_point", "setup"}
        refuse(theirs, f"is for a file of Python tests; the problems of {tests} have their own")
        problems = load_problems(tests, data_dir=data_folder())
        lanes = [(p.id, choose_lane(p.tests, p.entry_point, p.setup)) for p in problems]
    elif Path(tests).is_file():
        before = _read(setup) if setup else ""
        lanes = [(tests, choose_lane(_read(Path(tests)), entry_point, before))]
    else:
        raise DataError(f"{tests}: no such file, and the known sets are {', '.join(NAMES)}")
    for name, lane in lanes:
        if lane.reason.startswith(DO_NOT_PARSE):
            raise DataError(f"{name}: {lane.reason}")
    for name, lane in lanes:
        if len(lanes) == 1 or lane.name != "split" or NO_PROGRAM in lane.reason:
            typer.echo(f"{lane.name:<9} {name}: {lane.reason}")
    counts = Counter(lane.name for _, lane in lanes)
    typer.echo(", ".join(f"{count} {name}" for name, count in sorted(counts.items())))
