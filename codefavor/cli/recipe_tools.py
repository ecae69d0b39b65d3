"""`codefavor recipes preview | estimate`: what a recipe trains on, and what it costs."""

from __future__ import annotations

from dataclasses import replace
from math import isnan, nan
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from codefavor.errors import ConfigError
from codefavor.records import Row, read_rows
from codefavor.training import recipes as engine
from codefavor.training.estimate import CARDS, GIB, Card, Estimate, estimate, sequences_per_row
from codefavor.training.machine import gpu_memories, main_memory_gib
from codefavor.training.model_shapes import find_shape

# Characters of code and English in one token of today's tokenizers, where none is at hand.
_CHARACTERS_PER_TOKEN = 3.3


def show_preview(config: Row, n_rows: int, *, allow_long: bool) -> None:
    """Print the tokens of the first rows and the token budget of all of them.

    Raises ConfigError if sequences are longer than the recipe's window, unless allowed.
    """
    from codefavor.training.preview import Preview, token_budget

    reader = Preview(config)
    console = Console(highlight=False, soft_wrap=True)
    for sequence in reader.sequences(limit=n_rows):
        title = f"{sequence.where} {sequence.part}: {len(sequence.input_ids)} tokens"
        console.rule(title, align="left")
        text = Text()
        for span in reader.spans(sequence):
            if console.is_terminal:
                text.append(span.text, style="bold green" if span.is_trained else "dim")
            else:
                text.append(f"⟦{span.text}⟧" if span.is_trained else span.text)
        console.print(text)
    budget = token_budget(list(reader.sequences()), int(config.get("sequence_len") or 0))
    console.rule(align="left")
    typer.echo(
        f"{budget.n_sequences} sequences, {budget.n_tokens} tokens ({budget.n_trained} trained), "
        f"mean {budget.mean:.0f}, p95 {budget.p95}, longest {budget.longest}, "
        f"sequence_len {budget.limit}"
    )
    for where in budget.too_long:
        typer.echo(f"above sequence_len: {where}")
    if budget.too_long and not allow_long:
        raise ConfigError(
            f"{len(budget.too_long)} sequence(s) would be cut or dropped; raise sequence_len, "
            "shorten the rows, or pass --allow-long"
        )


def estimate_recipe(
    path: Path,
    config: Row,
    *,
    gpus: int,
    card: str | Card = "",
    parameters: float | None = None,
    rows: int | None = None,
    tokens: float | None = None,
    usd_per_hour: float | None = None,
) -> tuple[Estimate, str]:
    """The estimate of a recipe, and a sentence on what it rests on."""
    device = card if isinstance(card, Card) else _card(card) if card else _default_card(path, gpus)
    shape = find_shape(config, Path.cwd(), engine.find_recipes(), parameters)
    n_rows, mean, longest, basis = _data_size(config, rows, tokens)
    found = estimate(
        config,
        shape,
        device,
        gpus=gpus,
        rows=n_rows,
        tokens_per_row=mean,
        longest=longest,
        usd_per_hour=usd_per_hour,
    )
    return (
        found,
        f"{max(1, gpus)} x {device.name}, {shape.parameters / 1e9:.3g} billion weights, {basis}",
    )


def show_estimate(found: Estimate, basis: str) -> None:
    """Print an estimate as a table."""
    table = Table("what", "estimate", title=basis, title_justify="left")
    table.add_row("trained weights", f"{found.trainable / 1e6:.1f} million")
    for name, value in found.memory.items():
        table.add_row(f"  {name}", f"{value / GIB:.2f} GiB")
    fits = "fits" if found.fits else "DOES NOT FIT"
    if found.is_tight:
        fits = "tight: may not fit (estimates are off by up to a quarter)"
    table.add_row("memory of one device", f"{found.memory_bytes / GIB:.1f} GiB: {fits}")
    if found.host:
        table.add_row("memory of one machine", f"{found.host / GIB:.0f} GiB beside its GPUs")
    table.add_row("disk, checkpoints and result", f"{found.disk / 1e9:.1f} GB")
    table.add_row("steps", str(found.steps))
    table.add_row("tokens", f"{found.tokens / 1e6:.2f} million")
    unknown = f"unknown: name a card (--card: {', '.join(CARDS)})"
    hours = f"{found.hours * 60:.1f} min" if found.hours < 2 else f"{found.hours:.1f} h"
    table.add_row("time", unknown if isnan(found.hours) else hours)
    price = "unknown" if isnan(found.usd) else f"{found.usd:.2f} USD"
    table.add_row("price (assumed per hour)", price)
    Console().print(table)


def _default_card(path: Path, gpus: int) -> Card:
    """The card of the size that the recipe is for, unknown where no known one has that size.

    That of 80 GB where the recipe says none.
    """
    if gpus == 0:
        return CARDS["cpu"]
    memory = float(engine.memory_of(path) or 80)
    gpu_cards = [card for name, card in CARDS.items() if name != "cpu"]
    fitting = [card for card in gpu_cards if card.memory_gib == memory]
    return fitting[0] if fitting else Card(f"unknown {memory:g} GB card", memory, nan, nan, nan)


def _card(name: str) -> Card:
    if name not in CARDS:
        raise ConfigError(f"unknown card {name!r}; known: {', '.join(CARDS)}")
    return CARDS[name]


def card_of_this_machine(gpus: int) -> Card:
    """The device that a training here would use, with the memory that it really has.

    Speed and price are those of the known card whose name it carries, else of the nearest by
    memory. Memory is the smallest among the devices used.
    """
    if gpus == 0:
        return replace(CARDS["cpu"], memory_gib=main_memory_gib())
    devices = gpu_memories()[:gpus]
    if len(devices) < gpus:
        raise ConfigError(f"{gpus} GPU(s) wanted, {len(devices)} found")
    name, memory = min(devices, key=lambda device: device[1])
    known = [card for key, card in CARDS.items() if key.split("-")[0].upper() in name.upper()]
    others = known or [card for key, card in CARDS.items() if key != "cpu"]
    nearest = min(others, key=lambda card: abs(card.memory_gib - memory))
    return replace(nearest, name=name, memory_gib=memory)


def _data_size(config: Row, rows: int | None, tokens: float | None) -> tuple[int, float, int, str]:
    """Rows, mean and longest length in tokens, and where these numbers come from."""
    n_parts = sequences_per_row(config)
    if rows is not None and tokens is not None:
        return rows, tokens * n_parts, int(tokens), f"{rows} rows of {tokens:.0f} tokens (given)"
    if rows is None and tokens is None:
        given = ""
    else:
        given = f"{rows} rows given" if rows is not None else f"{tokens:.0f} tokens a row given"
    lengths = []
    for entry in config.get("datasets") or []:
        path = Path(str(entry.get("path")))
        if not path.is_file():
            raise ConfigError(
                f"{path} is not there yet, so its size is not known; pass --rows and --tokens"
            )
        lengths += [_text_length(row) / _CHARACTERS_PER_TOKEN for _, row in read_rows(path)]
    mean = sum(lengths) / len(lengths)
    longest = int(max(lengths) / n_parts * 1.2) + 16
    n_rows = len(lengths) if rows is None else rows
    if tokens is not None:
        mean, longest = tokens * n_parts, int(tokens)
    basis = f"{n_rows} rows of about {mean:.0f} tokens"
    return n_rows, mean, longest, f"{basis} ({given})" if given else basis


def _text_length(value: object, key: str = "") -> int:
    """The characters of every text in a row that reaches the model."""
    if isinstance(value, str):
        return 0 if key in {"id", "role", "tests", "entry_point"} else len(value)
    if isinstance(value, dict):
        return sum(_text_length(item, name) for name, item in value.items())
    if isinstance(value, list):
        return sum(_text_length(item, key) for item in value)
    return 0
