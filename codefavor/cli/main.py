"""The `codefavor` command: one verb a file, each imported only when it is called."""

from __future__ import annotations

import errno
import importlib
import logging
import os
import signal
import sys
from typing import Annotated, Any, NoReturn

import click
import typer
from click.shell_completion import CompletionItem
from typer.core import TyperGroup

from codefavor import __version__
from codefavor.cli.examples import add_examples
from codefavor.cli.option_groups import with_finite_numbers
from codefavor.errors import CodefavorError
from codefavor.redaction import redact

VERBS = {
    "demo": "The whole walk: problems, pairs, training, evaluation, report.",
    "doctor": "What this machine can do, and how to get what is missing.",
    "mine": "The commits of git repositories as rows.",
    "synthesise": "Ask a model for drafts and preference data.",
    "score": "Run completions against the tests of their problems.",
    "pair": "Make, balance, split and check preference pairs.",
    "convert": "Preference pairs to the rows that a recipe trains on.",
    "card": "A Hugging Face data set folder with its card.",
    "recipes": "List, show, render and check training recipes.",
    "train": "Train a recipe with Axolotl.",
    "models": "Download model folders, and merge them.",
    "merge-shards": "What all shards of a command came to, as if one had done it all.",
    "merge": "Merge adapters and checkpoints.",
    "export": "A finished training as a model folder with its card; push it to the Hub.",
    "evaluate": "Measure judges and models.",
    "compare": "Results of one benchmark against each other: differences, tests, what moved.",
    "rank": "The best of several programs for each problem, by any judge.",
    "report": "Write HTML reports.",
    "cache": "List and prune cached responses.",
    "sandbox": "Prove the isolation of the sandbox.",
}


class LazyVerbs(TyperGroup):
    """A command group that imports a verb's file only when the verb is used."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            # Said here: typer would say "Aborted" and no more.
            fail("interrupted; the same command goes on from here", code=130)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> Any:
        if cmd_name not in VERBS:
            return None
        if _wants_overview() and not ctx.resilient_parsing:
            return click.Command(cmd_name, short_help=VERBS[cmd_name])
        module = importlib.import_module(f"codefavor.cli.{cmd_name.replace('-', '_')}")
        from codefavor.cli.ray_flags import with_ray
        from codefavor.cli.storage_flags import with_storage

        if hasattr(module, "app"):
            group = typer.main.get_group(module.app)
            group.name = cmd_name
            return add_examples(with_storage(with_ray(with_finite_numbers(group))), cmd_name)
        single = typer.Typer(add_completion=False)
        single.command(cmd_name, cls=getattr(module, "COMMAND_CLASS", None))(module.command)
        command = with_ray(with_finite_numbers(typer.main.get_command(single)))
        return add_examples(with_storage(command), cmd_name)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The verbs that begin so, without importing any."""
        return [
            CompletionItem(name, help=words)
            for name, words in VERBS.items()
            if name.startswith(incomplete)
        ] or super().shell_complete(ctx, incomplete)


def _wants_overview() -> bool:
    """Whether only the list of verbs is shown, which needs their one-line helps alone."""
    words = [word for word in sys.argv[1:] if word not in ("--help", "-v", "--verbose")]
    return not words


app = typer.Typer(
    cls=LazyVerbs,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Code preference: make the data, train the judge, measure both.",
)


class _Redacting(logging.Formatter):
    """Log lines without secrets: other packages log what they were called with."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def common(
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log what the library does, on stderr.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Code preference: make the data, train the judge, measure both."""
    level = logging.INFO if verbose else logging.WARNING
    handler = logging.StreamHandler()
    handler.setFormatter(_Redacting("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    if not verbose:
        # Ours are the progress lines; these warn at every import of what nobody asked for.
        for bars in ("HF_HUB_DISABLE_PROGRESS_BARS", "TQDM_DISABLE"):
            os.environ.setdefault(bars, "1")
        for noisy in ("torchao", "torch.utils._pytree", "bitsandbytes"):
            logging.getLogger(noisy).setLevel(logging.ERROR)


def main() -> None:
    """Run the command; every error made on purpose is one line on stderr and exit code 2."""
    # What Slurm, Kubernetes and spot machines send before they kill is a Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except CodefavorError as error:
        fail(str(error))
    except OSError as error:
        fail(redact(describe_os_error(error)))


def describe_os_error(error: OSError) -> str:
    """What the system refused, and for which file."""
    where = f"{error.filename}: " if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"{where}no space left on the device; free some, then run the same command again"
    return f"{where}{error.strerror or error}"


def fail(message: str, code: int = 2) -> NoReturn:
    """Print one error on stderr and leave with a code that is not 0."""
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
