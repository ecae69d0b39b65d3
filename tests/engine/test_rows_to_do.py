"""A resumed run compares what its results were made from with what it is given now."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from codefavor import journal_file
from codefavor.backends import FakeBackend
from codefavor.engine import Context, Counts, StopRule, run
from codefavor.engine.rows_to_do import input_digest
from codefavor.errors import BackendError, JournalError
from codefavor.journal import Journal, read_journal
from codefavor.records import Row


def rows(n: int, **edited: str) -> list[Row]:
    """Rows r0, r1, ... of which the edited ones ask something else."""
    asked = [(f"r{i}", f"question {i}") for i in range(n)]
    return [{"id": name, "q": edited.get(name, q), "level": ""} for name, q in asked]


async def answer(row: Row, context: Context) -> Row:
    return {
        "id": row["id"],
        "a": (await context.ask([{"role": "user", "content": row["q"]}])).text,
    }


async def run_on(folder: Path, given: object, backend: FakeBackend, **options: object) -> Counts:
    with Journal.open(folder / "o", {}) as journal:
        return await run(
            answer,
            given,  # type: ignore[arg-type]
            journal,
            context=Context(backend),
            stop_rule=StopRule(max_error_rate=1),
            **options,  # type: ignore[arg-type]
        )


def answers(folder: Path) -> dict[str, str]:
    return {record["id"]: record["row"]["a"] for record in read_journal(folder / "o")}


async def test_edited_rows_of_a_list_are_counted_and_shown_before_anything_is_asked(
    tmp_path: Path,
) -> None:
    await run_on(tmp_path, rows(50), FakeBackend())
    backend = FakeBackend()
    edited = dict.fromkeys(("r3", "r4", "r5", "r49"), "other")
    with pytest.raises(JournalError, match=r"4 rows.*r3: q; r4: q; r5: q; \.\.\.\)") as refused:
        await run_on(tmp_path, rows(60, **edited), backend)
    assert "--rerun-changed" in str(refused.value)
    assert backend.requests == []
    assert answers(tmp_path)["r3"] == "question 3"


async def test_an_edited_row_behind_new_ones_is_found_before_these_are_asked(
    tmp_path: Path,
) -> None:
    await run_on(tmp_path, rows(5), FakeBackend())
    backend = FakeBackend()
    with pytest.raises(JournalError, match=r"1 row .*r4: q"):
        await run_on(tmp_path, rows(60, r4="other")[::-1], backend, concurrency=1)
    assert backend.requests == []


async def test_of_an_id_that_is_there_twice_the_first_row_counts(tmp_path: Path) -> None:
    twice = [*rows(3), *rows(3, r1="other")]
    await run_on(tmp_path, twice, FakeBackend())
    counts = await run_on(tmp_path, twice, FakeBackend())
    assert (counts.n_resumed, counts.n_duplicates) == (3, 3)


async def test_an_edited_row_of_a_stream_stops_the_run_where_it_stands(tmp_path: Path) -> None:
    await run_on(tmp_path, rows(5), FakeBackend())
    backend, n_read = FakeBackend(), 0

    def stream() -> Iterator[Row]:
        nonlocal n_read
        for row in rows(100_000, r4="other"):
            n_read += 1
            yield row

    with pytest.raises(JournalError, match=r"at least 1 row .*r4: q"):
        await run_on(tmp_path, stream(), backend, concurrency=4)
    assert backend.requests == []
    assert n_read < 11_000  # it looks on for more of them, but not through a stream of any length


async def test_rerun_changed_runs_the_edited_rows_alone_and_their_results_count(
    tmp_path: Path,
) -> None:
    await run_on(tmp_path, rows(5), FakeBackend())
    for q in ("second", "third", "question 2"):
        # The third is what it was at first: there are then two records of the same content.
        backend = FakeBackend()
        await run_on(tmp_path, rows(5, r2=q), backend, rerun_changed=True)
        assert [one.messages[-1]["content"] for one in backend.requests] == [q]
        assert answers(tmp_path) == {f"r{i}": f"question {i}" for i in range(5)} | {"r2": q}
        unchanged = await run_on(tmp_path, rows(5, r2=q), FakeBackend())
        assert unchanged.n_resumed == 5
    assert len((tmp_path / "o").read_text().splitlines()) == 8


async def test_every_line_of_a_journal_is_read_alike_with_and_without_parsing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sometimes(request: object) -> str:
        raise BackendError("no", retryable=False, reason="bad_request")

    await run_on(tmp_path, rows(3), FakeBackend())
    await run_on(tmp_path, rows(3, r1="x"), FakeBackend(function=sometimes), rerun_changed=True)
    parsed = journal_file.scan_journal(tmp_path / "o")
    monkeypatch.setattr(journal_file, "_VERIFIED_TAIL_BYTES", 0)
    assert journal_file.scan_journal(tmp_path / "o")[1:] == parsed[1:]
    assert [record["status"] for record in read_journal(tmp_path / "o")] == ["ok", "ok", "error"]
    await run_on(tmp_path, rows(3, r1="x"), FakeBackend(), retry_errors=True)
    assert answers(tmp_path) == {"r0": "question 0", "r1": "x", "r2": "question 2"}


async def test_a_row_that_failed_may_be_edited_and_tried_again(tmp_path: Path) -> None:
    def picky(request: object) -> str:
        if "bad" in str(request):
            raise BackendError("no", retryable=False, reason="bad_request")
        return "fine"

    backend = FakeBackend(function=picky)
    await run_on(tmp_path, rows(3, r1="bad"), backend)
    with pytest.raises(JournalError, match="r1: q"):
        await run_on(tmp_path, rows(3, r1="good"), backend)
    counts = await run_on(tmp_path, rows(3, r1="good"), backend, retry_errors=True)
    assert (counts.n_ok, counts.n_resumed) == (1, 2)


async def test_a_journal_without_digests_is_continued(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "o", {}) as journal:
        journal.append({"id": "r0", "status": "ok", "reason": "", "row": {"a": "old"}})
    await run_on(tmp_path, rows(2), FakeBackend())
    assert answers(tmp_path) == {"r0": "old", "r1": "question 1"}


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({"q": "a", "level": ""}, {"q": "b", "level": ""}, "r: q"),
        ({"q": "a", "x": [1, {"y": None}]}, {"q": "b", "x": [1, {"y": 0}]}, "r: q, x"),
        ({"q": "a"}, {"q": "a", "tests": ""}, "r: now has the fields id, q, tests"),
        ({"q": "\ud800", "n": 2**70}, {"q": "\ud801", "n": 2**70}, "r: q"),
    ],
    ids=["one field", "two", "a new one", "what orjson refuses"],
)
async def test_the_error_names_the_fields_that_were_edited(
    tmp_path: Path, before: Row, after: Row, words: str
) -> None:
    async def step(row: Row, context: Context) -> Row:
        return {"id": row["id"]}

    for given in (before, dict(reversed(before.items()))):
        with Journal.open(tmp_path / "o", {}) as journal:
            await run(step, [{"id": "r", **given}], journal, context=Context())
    with (
        Journal.open(tmp_path / "o", {}) as journal,
        pytest.raises(JournalError, match=rf"\({words}[,)]"),
    ):
        await run(step, [{"id": "r", **after}], journal, context=Context())


def test_a_digest_depends_on_content_and_not_on_the_order_of_keys() -> None:
    assert input_digest({"a": 1, "b": {"c": 2, "d": 3}}) == input_digest(
        {"b": {"d": 3, "c": 2}, "a": 1}
    )
