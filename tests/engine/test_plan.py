"""Looking before asking: samples, the forecast, prices and progress lines."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import pytest

from codefavor.backends import FakeBackend, Request, Sampling, Usage
from codefavor.engine import Context, Price, PriceTable, TerminalProgress
from codefavor.engine.plan import Question, chosen_rows, forecast, sample_rows
from codefavor.engine.progress import duration
from codefavor.errors import ConfigError
from codefavor.records import Row


def rows(n: int) -> list[Row]:
    return [{"id": str(i), "q": "x" * 400} for i in range(n)]


async def step(row: Row, context: Context) -> Row:
    message = {"role": "user", "content": row["q"]}
    await context.ask([message], sampling=Sampling(max_tokens=50))
    raise AssertionError("a forecast must stop at the first question")


def test_a_forecast_sends_nothing_and_counts_every_row() -> None:
    backend = FakeBackend()
    prices = PriceTable({"fake:echo": Price(1.0, 1.0)})
    found = forecast(step, rows(1000), Context(backend, prices=prices))
    assert backend.requests == []
    assert (found.n_rows, found.n_requests, len(found.prompts)) == (1000, 1000, 3)
    assert found.output_tokens_at_most == 50_000
    assert 400_000 <= found.input_tokens_at_most < 500_000
    assert "x" * 400 in found.prompts[0]


async def four_samples(row: Row, context: Context) -> Row:
    message = {"role": "user", "content": row["q"]}
    await context.samples([message], sampling=Sampling(max_tokens=50, n=4))
    raise AssertionError("a forecast must stop at the first question")


def test_samples_are_counted_as_requests_where_there_is_no_n_and_batches_at_their_price() -> None:
    backend = FakeBackend()
    backend.name, backend.model = "openai", "m"  # type: ignore[misc]
    prices = PriceTable({"openai:m": Price(0.0, 2.0, batch_factor=0.5)}, as_of="2026-01-02")
    context = Context(backend, prices=prices)
    found = forecast(four_samples, rows(10), context)
    assert (found.n_requests, found.output_tokens_at_most, found.prices_as_of) == (
        10, 2000, "2026-01-02",
    )  # fmt: skip
    assert found.usd_at_most == pytest.approx(2000 * 2.0 / 1e6)
    assert forecast(four_samples, rows(10), context, in_batch=True).usd_at_most == pytest.approx(
        2000 * 1.0 / 1e6
    )
    backend.features = frozenset()
    found = forecast(four_samples, rows(10), context)
    assert (found.n_requests, found.output_tokens_at_most) == (40, 2000)
    assert len(set(found.prompts)) == 1  # the rows are alike here; one prompt each is shown
    assert len(found.prompts) == 3


def test_a_sample_is_the_same_for_a_seed_and_keeps_the_order() -> None:
    first = sample_rows(iter(rows(1000)), 20, seed=1)
    assert first == sample_rows(rows(1000), 20, seed=1)
    assert first != sample_rows(rows(1000), 20, seed=2)
    numbers = [int(row["id"]) for row in first]
    assert numbers == sorted(set(numbers))
    assert max(numbers) > 500
    assert [row["id"] for row in chosen_rows(rows(9), None, 2, 0)] == ["0", "1"]


def test_own_prices_lie_on_top_of_the_table_and_unknown_ones_stay_unknown(tmp_path: Path) -> None:
    own = tmp_path / "prices.json"
    own.write_text(json.dumps({"prices": {"openai:mine": {"input": 3.0, "output": 5.0}}}))
    table = PriceTable.load(own)
    mine, shipped = table.price("openai:mine"), table.price("openai:gpt-4o-mini")
    assert mine is not None
    assert mine.cost_usd(Usage(1_000_000, 1_000_000)) == 8.0
    assert shipped is not None
    assert table.price("openai:never-heard-of") is None
    assert table.as_of


def test_cached_input_is_cheaper() -> None:
    price = Price(2.0, 8.0, cached=0.5)
    assert price.cost_usd(Usage(1_000_000, 0, 400_000)) == pytest.approx(0.6 * 2 + 0.4 * 0.5)


def test_a_price_file_of_another_form_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"openai:x": 3}')
    with pytest.raises(ConfigError, match="not a price file"):
        PriceTable.load(tmp_path / "p.json")


def test_progress_without_a_terminal_is_plain_lines() -> None:
    stream = io.StringIO()
    progress = TerminalProgress(stream, every_s=0.0)
    progress.start("drafts", 4)
    progress.advance(1, usd=0.5)
    progress.advance(3, usd=None)
    progress.finish()
    lines = stream.getvalue().splitlines()
    assert lines[0] == "drafts 0/4 0%"
    assert lines[1] == "drafts 1/4 25% $0.5000"
    assert lines[-1].startswith("drafts 4/4 100% in ")
    assert "cost unknown" in lines[-1]


def test_no_time_is_forecast_before_the_pace_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    progress = TerminalProgress(io.StringIO(), every_s=0.0)
    progress.start("judge", 400)
    # A minute goes for loading a model: it says nothing about the other 399 rows.
    now = 60.0
    progress.advance(1)
    assert "eta" not in progress.line(now)
    now = 64.0
    progress.advance(40)
    assert "eta" not in progress.line(now)
    now = 70.0
    progress.advance(19)
    # 59 rows in 10 s, 340 are left.
    assert progress.line(now) == "judge 60/400 15% eta 58s"


def test_progress_on_a_terminal_rewrites_its_line_and_leaves_what_is_said() -> None:
    stream = io.StringIO()
    progress = TerminalProgress(stream, is_terminal=True)
    progress.start("drafts", 4)
    progress.say("the server asks for a pause")
    progress.advance(4, tokens=12)
    progress.finish()
    # As a terminal shows it: a line that begins anew replaces what stood in it.
    shown = [line.rpartition("\r\x1b[K")[2] for line in stream.getvalue().split("\n")]
    assert shown[0] == "the server asks for a pause"
    assert shown[1].startswith("drafts 4/4 100% in ") and shown[1].endswith(" 12 tokens")
    assert shown[2:] == [""]


def test_durations_read_like_people_say_them() -> None:
    assert [duration(s) for s in (3.4, 250, 11_100)] == ["3s", "4m10s", "3h05m"]


def test_a_later_question_may_hold_all_that_was_answered_before() -> None:
    async def two_samples(row: Row, context: Context) -> Row:
        message = {"role": "user", "content": row["q"]}
        await context.samples([message], sampling=Sampling(max_tokens=50, n=2))
        raise AssertionError("a forecast must stop at the first question")

    def ask_again(row: Row, first: Request) -> list[Question]:
        return [Question(first), Question(first)]

    backend = FakeBackend()
    alone = forecast(two_samples, rows(1), Context(backend)).input_tokens_at_most
    found = forecast(two_samples, rows(1), Context(backend), later=ask_again)
    # Of two samples of 50 tokens the second question may hold both, and the third four.
    assert found.input_tokens_at_most == 3 * alone + 100 + 200
