"""`codefavor sandbox`: what isolation this machine gives, proven."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from codefavor.cli.engine_options import SandboxLevel
from codefavor.sandbox import SandboxPool

app = typer.Typer(no_args_is_help=True, help="Prove the isolation of the sandbox.")


@app.callback()
def _main() -> None:
    """Prove the isolation of the sandbox."""


@app.command()
def check(
    sandbox_level: SandboxLevel = "L2",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Try to break out of the jail, and print the level that this proves."""
    with SandboxPool(1, required_level=sandbox_level) as pool:
        proof = pool.proof
        example = pool.run("def add(a, b):\n    return a + b\n", "assert add(1, 2) == 3\n")
    if as_json:
        facts = {**vars(proof), "example": example.outcome, "example_s": example.seconds}
        typer.echo(json.dumps(facts, indent=2))
        return
    typer.echo(f"level          {proof.level}")
    typer.echo(f"layers         {', '.join(proof.layers) or 'none'}")
    typer.echo(f"kernel         {proof.kernel}, Landlock version {proof.landlock_abi}")
    typer.echo(f"one run        {example.outcome} in {example.seconds * 1000:.0f} ms")
    for reason in proof.reasons:
        typer.echo(f"not higher     {reason}")
