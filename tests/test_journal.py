"""The journal keeps every record that `append` returned for, whatever happens to the process."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from codefavor.errors import DataError, JournalError
from codefavor.idset import IdSet, id_digest
from codefavor.journal import Journal, ok_rows, read_journal, rewrite_journal
from codefavor.journal_manifest import manifest_path

SETTINGS = {"step": "x", "sampling": {"temperature": 0.5}}


def record(name: str, status: str = "ok", **extra: object) -> dict[str, object]:
    return {"id": name, "status": status, "reason": "", "row": {"id": name}, **extra}


def test_done_ids_are_known_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "o.jsonl"
    with Journal.open(path, SETTINGS) as journal:
        for name, status in (("a", "ok"), ("b", "rejected"), ("c", "error")):
            journal.append(record(name, status))
    with Journal.open(path, SETTINGS) as journal:
        assert [name in journal.done_ids() for name in "abcd"] == [True, True, True, False]
        assert [journal.is_error(name) for name in "abc"] == [False, False, True]
    assert [row["id"] for row in ok_rows(path)] == ["a"]


def test_file_cut_at_every_byte_of_its_last_record_loses_only_that_record(tmp_path: Path) -> None:
    path = tmp_path / "o.jsonl"
    with Journal.open(path, SETTINGS) as journal:
        for index in range(3):
            journal.append(record(f"id{index}", note="ä\u2028ö"))
    whole = path.read_bytes()
    last = whole.rindex(b"\n", 0, len(whole) - 1) + 1
    for cut in range(last, len(whole)):
        path.write_bytes(whole[:cut])
        assert [row["id"] for row in read_journal(path)] == ["id0", "id1"]
        with Journal.open(path, SETTINGS) as journal:
            assert "id1" in journal.done_ids()
            assert "id2" not in journal.done_ids()
            journal.append(record("id2"))
        assert [row["id"] for row in read_journal(path)] == ["id0", "id1", "id2"]


def test_a_hole_left_by_a_power_cut_is_moved_aside_and_its_row_runs_again(tmp_path: Path) -> None:
    path = tmp_path / "o.jsonl"
    with Journal.open(path, SETTINGS) as journal:
        for index in range(3):
            journal.append(record(f"id{index}"))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\0" * (len(lines[1]) - 1) + b"\n" + lines[2])
    with pytest.raises(DataError, match="unreadable"):
        list(read_journal(path))
    with Journal.open(path, SETTINGS) as journal:
        assert [f"id{i}" in journal.done_ids() for i in range(3)] == [True, False, True]
    assert [row["id"] for row in read_journal(path)] == ["id0", "id2"]
    assert path.with_name("o.jsonl.damaged").read_bytes().startswith(b"\0")


def test_another_setting_is_refused_and_named_with_both_values(tmp_path: Path) -> None:
    path = tmp_path / "o.jsonl"
    with Journal.open(path, SETTINGS) as journal:
        journal.append(record("a"))
    other = {"step": "x", "sampling": {"temperature": 0.7}}
    with pytest.raises(JournalError, match=r"sampling\.temperature = 0\.5.*0\.7"):
        Journal.open(path, other)


def test_results_without_their_manifest_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "o.jsonl"
    with Journal.open(path, SETTINGS) as journal:
        journal.append(record("a"))
    manifest_path(path).unlink()
    with pytest.raises(JournalError, match="manifest"):
        Journal.open(path, SETTINGS)


def test_two_runs_on_one_output_refuse_each_other(tmp_path: Path) -> None:
    path = tmp_path / "o.jsonl"
    code = (
        "import sys; from pathlib import Path; from codefavor.journal import Journal\n"
        "from codefavor.errors import JournalError\n"
        "try: Journal.open(Path(sys.argv[1]), {})\n"
        "except JournalError as error: sys.exit(str(error))\n"
    )
    with Journal.open(path, {}):
        with pytest.raises(JournalError, match="in use"):
            Journal.open(path, {})
        other = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
        )
        assert "in use by another run" in other.stderr
        assert str(os.getpid()) in other.stderr
    Journal.open(path, {}).close()


def test_a_later_attempt_replaces_an_error_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "o.jsonl"
    with Journal.open(path, {}) as journal:
        journal.append(record("a", "error"))
        journal.append(record("b"))
        journal.append(record("a", "error"))
        journal.append(record("a"))
        with pytest.raises(ValueError, match="second record"):
            journal.append(record("b"))
    assert [(row["id"], row["status"]) for row in read_journal(path)] == [("b", "ok"), ("a", "ok")]


def test_a_record_from_another_input_replaces_even_one_that_ended_ok(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "o", {}) as journal:
        for made_from in ("aaaaaaaa", "bbbbbbbb"):
            journal.append(record("a", input=made_from))
            with pytest.raises(ValueError, match="a second record"):
                journal.append(record("a", input=made_from))
        assert journal.input_noted(id_digest(b"a")) == bytes.fromhex("bbbbbbbb")
    assert [one["input"] for one in read_journal(tmp_path / "o")] == ["bbbbbbbb"]


def test_settings_bind_once_something_was_recorded_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "o[1].jsonl"
    Journal.open(path, {"model": "mistyped"}).close()
    with Journal.open(path, {"model": "m"}) as journal:
        journal.append(record("a"))
    with pytest.raises(JournalError, match='model = "m", this run has model = "n"'):
        Journal.open(path, {"model": "n"})
    for name in ("p.spent", "p.batch/state.json"):
        Journal.open(tmp_path / "p", {"model": "m"}).close()
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1 1 0 0.5\n")
        with pytest.raises(JournalError, match="this run has"):
            Journal.open(tmp_path / "p", {"model": "n"})
        (tmp_path / name).unlink()


def test_a_full_disk_is_one_clear_error_and_leaves_whole_records(tmp_path: Path) -> None:
    path = tmp_path / "o.jsonl"
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from codefavor.journal import Journal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "with Journal.open(Path(sys.argv[1]), {}) as journal:\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "    for i in range(100):\n"
        "        journal.append({'id': str(i), 'status': 'ok', 'reason': '', 'row': 'x' * 150})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
    )
    assert "JournalError" in done.stderr
    assert "free some space" in done.stderr
    kept = [row["id"] for row in read_journal(path)]
    assert kept == [str(i) for i in range(len(kept))]
    assert 5 < len(kept) < 20
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 2000


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(JournalError, match="cannot be written"):
        Journal.open(tmp_path / "file" / "o.jsonl", {})


def test_texts_that_models_produce_come_back_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "o.jsonl"
    texts = ["\ud83d lone", 'quote " and \\ in id', "line\nbreak\u2028", "\0", "ünïcode", 2**80]
    with Journal.open(path, {}) as journal:
        for index, text in enumerate(texts):
            journal.append({"id": f"{index}{text}", "status": "ok", "reason": "", "row": [text]})
    assert [row["row"][0] for row in read_journal(path)] == texts
    with Journal.open(path, {}) as journal:
        assert all(f"{index}{text}" in journal.done_ids() for index, text in enumerate(texts))


def test_id_set_agrees_with_a_set() -> None:
    rng = random.Random(1)
    ids, expected = IdSet(slots=8), set()
    for _ in range(5000):
        name = str(rng.randrange(3000))
        assert ids.add(name) == (name not in expected)
        expected.add(name)
    assert len(ids) == len(expected)
    assert all((str(i) in ids) == (str(i) in expected) for i in range(4000))


def test_an_id_set_keeps_its_notes_while_it_grows() -> None:
    ids = IdSet(slots=8, n_noted=4)
    digests = [id_digest(str(i).encode()) for i in range(500)]
    for i, digest in enumerate(digests):
        assert ids.add_digest(digest, i.to_bytes(4, "big"))
        assert not ids.add_digest(digest, b"late")
    ids.note(digests[7], b"mine")
    noted = [ids.note_of(digest) for digest in digests]
    assert noted.pop(7) == b"mine"
    assert noted == [i.to_bytes(4, "big") for i in range(500) if i != 7]
    assert ids.note_of(id_digest(b"nobody")) is None


def test_records_are_plain_json_lines_with_the_four_fields(tmp_path: Path) -> None:
    path = tmp_path / "o.jsonl"
    with Journal.open(path, {}) as journal:
        journal.append({"row": {"z": 1}, "reason": "", "status": "ok", "id": "a"})
    assert json.loads(path.read_text()) == {
        "id": "a", "status": "ok", "reason": "", "row": {"z": 1},
    }  # fmt: skip


def test_a_rewritten_journal_holds_the_new_records_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "o.jsonl"
    with Journal.open(path, SETTINGS) as journal:
        journal.append(record("a"))
        with pytest.raises(JournalError, match="in use"):
            rewrite_journal(path, SETTINGS, [])
    rewrite_journal(path, SETTINGS, [record("a", "error"), record("b")])
    assert [one["status"] for one in read_journal(path)] == ["error", "ok"]
    with Journal.open(path, SETTINGS) as journal:
        journal.append(record("a"))
    assert [row["id"] for row in ok_rows(path)] == ["b", "a"]


def test_many_journals_are_read_at_a_time_without_their_ids(tmp_path: Path) -> None:
    readers = []
    for number in range(10):
        with Journal.open(tmp_path / f"{number}.jsonl", {"step": "x"}) as journal:
            for row in range(2):
                journal.append({"id": f"r{row}", "status": "ok", "reason": "", "row": {}})
        readers.append(read_journal(tmp_path / f"{number}.jsonl"))
    tracemalloc.start()
    try:
        assert all(next(one)["id"] == "r0" for one in readers)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A table of ids takes 8 MB, however few there are.
    assert held < 8e6
    assert all(next(one)["id"] == "r1" for one in readers)
