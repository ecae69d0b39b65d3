"""A run in shards, merged, is the run of one machine: the same files, statistics of the whole."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import zlib

import pytest

from codefavor.backends.base import Usage
from codefavor.cli.shard_flags import Joined, joined, own_budget
from codefavor.engine import Budget, Progress
from codefavor.engine.budget import BudgetTracker, Loan
from codefavor.engine.ledger import Ledger, read_spent
from codefavor.engine.prices import Price
from codefavor.engine.shards import Shard
from codefavor.errors import BudgetError
from codefavor.records import Preference, Problem, content_id
from codefavor.records import write_rows as write
from tests.kit.commands import codefavor
from tests.kit.server import LoopbackServer, openai_reply
from tests.kit.teacher import DRAFT, teacher

N = 3
PROGRAMS = {
    True: "def double(x):\n    return 2 * x\n",
    False: "def double(x):\n    return x\n",
}
# What a later answer to the same question has more than an earlier one.
remark = {"text": ""}


def answer(request):
    """Right or wrong, A or B, good or bad: whatever is asked, it hangs on the text alone."""
    text = request.messages[-1]["content"]
    is_even = zlib.crc32(text.encode()) % 2 == 0
    if "Reply with one word" in text:
        return "Yes" if is_even else "No"
    if "Known answer" in text:
        (number,) = set(re.findall(r"Who came in (\d+)", text))
        who = "Bob Ray" if is_even else "Cyd Fox"
        both = {"true": f"Ann Lee came in {number}.", "false": f"{who} came in {number}."}
        return json.dumps(both)
    return f"```python\n{PROGRAMS[is_even]}{remark['text']}```\n[RESULT] {'A' if is_even else 'B'}"


critic = judge = teacher()
FAKE = "fake:tests.cli.test_shards:answer"


@pytest.fixture
def home(tmp_path):
    problems = [
        Problem(
            id=f"p{n}",
            instruction=f"Double number {n}.",
            tests=f"assert double({n + 1}) == {2 * n + 2}\n",
            entry_point="double",
            reference=PROGRAMS[True],
        )
        for n in range(12)
    ]
    write(tmp_path / "problems.jsonl", [one.to_row() for one in problems])
    write(
        tmp_path / "completions.jsonl",
        [
            {"id": content_id(n, side), "problem_id": f"p{n}", "code": PROGRAMS[side] + f"# {n}\n"}
            for n in range(12)
            for side in PROGRAMS
        ],
    )
    pairs = [
        Preference(f"q{n}", f"Double {n}.", f"{PROGRAMS[True]}# {n}\n", f"{PROGRAMS[False]}# {n}\n")
        for n in range(20)
    ]
    write(tmp_path / "pairs.jsonl", [one.to_row() for one in pairs])
    # Each pair holds one of the problems, so that some of every block are found.
    many = [
        Preference(f"m{n}", f"Task {n}. Double number {n % 12}.", PROGRAMS[True] * 9, f"x = {n}")
        for n in range(700)
    ]
    write(tmp_path / "many.jsonl", [one.to_row() for one in many])
    write(tmp_path / "drafts.jsonl", [{**DRAFT, "instruction": f"Sum {n}."} for n in range(8)])
    questions = [
        {"id": f"s{n}", "context": f"In {n} came rain.", "question": f"What came in {n}?",
         "answers": ["rain"]}
        for n in range(9)
    ]  # fmt: skip
    came = "In {0} came Ann Lee. In {0} not came Bob Ray. In {0} not came Cyd Fox."
    named = [
        {"context": came.format(n), "question": f"Who came in {n}?", "answers": ["Ann Lee"]}
        for n in range(9)
    ]
    write(tmp_path / "questions.jsonl", named)
    halueval = [
        {"knowledge": one["context"], "question": one["question"], "right_answer": "rain",
         "hallucinated_answer": "snow"}
        for one in questions
    ]  # fmt: skip
    write(tmp_path / "halueval.jsonl", halueval)
    return tmp_path


DRAFTS = f"synthesise drafts --problems problems.jsonl --model {FAKE} --n 2 --out %/o.jsonl"
PAIRS = "evaluate pairs --data pairs.jsonl --out %"
COMMANDS = {
    "drafts": DRAFTS,
    "tests": f"synthesise tests --problems problems.jsonl --model {FAKE} --out %/o.jsonl",
    "levels": f"synthesise levels --data questions.jsonl --levels hard --model {FAKE}"
    " --out %/o.jsonl",
    "critic-evol": "synthesise critic-evol --drafts drafts.jsonl --out %/o.jsonl --examples 0 "
    "--model fake:tests.cli.test_shards:critic --verify judge "
    "--judge-backend fake:tests.cli.test_shards:judge",
    "score": "score completions.jsonl --problems problems.jsonl --workers 1 --out %/o.jsonl",
    "rank": f"rank completions.jsonl --problems problems.jsonl --model {FAKE} --out %/o.jsonl",
    "chat judge": f"{PAIRS} --model {FAKE}",
    "judge that learns from all pairs": f"{PAIRS} --model ngram",
    "pass@k": f"evaluate problems --data problems.jsonl --model {FAKE} --workers 1 --out %",
    "decontaminate": "pair decontaminate many.jsonl --against problems.jsonl --threshold 0.1"
    " --report %/r.json --out %/o.jsonl",
    "answers and their judge": f"evaluate halueval-answers --data halueval.jsonl --model {FAKE}"
    f" --judge {FAKE} --out %",
}
# What is measured is another number each time, with shards or without.
MEASURED = {"seconds", "cpu_s", "peak_bytes", "run_seconds_per_problem", "n_timed"}


def without_measured(value):
    if isinstance(value, dict):
        return {key: without_measured(one) for key, one in value.items() if key not in MEASURED}
    return [without_measured(one) for one in value] if isinstance(value, list) else value


def without_numbers_of_now(said):
    """What a command says at its end, but for what it measured and asked just now."""
    said = said.replace("shared", "alone").replace("all shards; ", "")
    return re.sub(r"\d+ requests now|[0-9.]+ s of running", "", said)


def files(folder, *, with_measured):
    """The text of every file that a command is run for, by its path."""
    found = {}
    for path in sorted(folder.rglob("*.json*")):
        name = path.relative_to(folder)
        if name.parts[0] == "shards" or ".manifest." in path.name or path.suffix == ".sqlite":
            continue
        if path.suffix not in (".json", ".jsonl"):
            continue
        text = path.read_text()
        if not with_measured:
            parts = [text] if path.suffix == ".json" else text.splitlines()
            rows = [json.dumps(without_measured(json.loads(one))) for one in parts]
            # A journal is in the order in which programs ended, which is measured too.
            text = "\n".join(sorted(rows))
        found[str(name)] = text
    return found


def run_shards(words, home, n=N):
    for index in range(n):
        done = codefavor(
            *words.replace("%", "shared").split(), "--shard", f"{index}/{n}", home=home
        )
        assert done.code == 0, done.stderr


def merge(words, home):
    return codefavor("merge-shards", *words.replace("%", "shared").split(), home=home)


@pytest.mark.parametrize("name", COMMANDS)
def test_merged_shards_are_the_run_of_one_machine(home, name):
    words = COMMANDS[name]
    alone = codefavor(*words.replace("%", "alone").split(), home=home)
    assert alone.code == 0, alone.stderr
    run_shards(words, home)
    n_shown = [*files(home / "shared", with_measured=True)]
    assert not n_shown, "a shard wrote what only the whole can say"
    done = merge(words, home)
    assert done.code == 0, done.stderr
    is_measured = name in ("score", "pass@k") or words.startswith("evaluate")
    one, many = (
        files(home / folder, with_measured=not is_measured) for folder in ("alone", "shared")
    )
    assert one.keys() == many.keys()
    assert one == many
    if name == "decontaminate":
        assert json.loads(one["r.json"])["n_removed"] > 0
    # What is said at the end is said of the whole.
    assert without_numbers_of_now(done.stdout) == without_numbers_of_now(alone.stdout)


def test_every_row_is_of_one_shard():
    ids = [f"row {n}" for n in range(1000)]
    shards = [{one for one in ids if Shard(index, 7).has(one)} for index in range(7)]
    assert sum(map(len, shards)) == 1000 and set().union(*shards) == set(ids)
    assert all(100 < len(one) < 190 for one in shards)


def test_a_second_merge_is_the_first(home):
    run_shards(DRAFTS, home)
    first = merge(DRAFTS, home)
    before = files(home / "shared", with_measured=True)
    again = merge(DRAFTS, home)
    assert again.code == 0 and again.stdout == first.stdout
    assert files(home / "shared", with_measured=True) == before


def make_anew(words, home, monkeypatch, index):
    """Run one shard again from its beginning, answered otherwise."""
    with monkeypatch.context() as patch:
        patch.setitem(remark, "text", "# anew\n")
        words = words.replace("%", "shared").split()
        done = codefavor(*words, "--shard", f"{index}/{N}", "--fresh", home=home)
    assert done.code == 0, done.stderr


def test_a_merge_takes_what_shards_made_anew(home, monkeypatch):
    run_shards(DRAFTS, home)
    assert merge(DRAFTS, home).code == 0
    assert "# anew" not in (home / "shared/o.jsonl").read_text()
    for index in range(N):
        make_anew(DRAFTS, home, monkeypatch, index)
    assert merge(DRAFTS, home).code == 0
    assert (home / "shared/o.jsonl").read_text().count("# anew") == 2 * 24


def test_a_judge_is_merged_with_the_answers_that_it_saw(home, monkeypatch):
    words = COMMANDS["answers and their judge"]
    run_shards(words, home)
    assert merge(words, home).code == 0
    for index in range(N):
        make_anew(words, home, monkeypatch, index)
    done = merge(words, home)
    assert done.code == 0, done.stderr
    answers, judged = sorted((home / "shared/rows").glob("*.jsonl"))
    assert len(judged.read_bytes().splitlines()) == 9
    for line in answers.read_text().splitlines():
        assert "# anew" in line


def test_a_refused_merge_records_nothing(home, monkeypatch):
    journal = home / "shared/o.jsonl.journal"
    run_shards(DRAFTS, home)
    lose_a_record(home)
    assert merge(DRAFTS, home).code == 2
    # But for the lock.
    left = {one.name for one in journal.parent.iterdir()}
    assert left == {"o.jsonl.journal.lock", "shards"}
    for index in range(N):
        make_anew(DRAFTS, home, monkeypatch, index)
    assert merge(DRAFTS, home).code == 0
    lines, out = journal.read_bytes(), (home / "shared/o.jsonl").read_bytes()
    assert out.count(b"# anew") == 2 * 24
    # What an earlier merge made stays whole, too.
    lose_a_record(home)
    assert merge(DRAFTS, home).code == 2
    assert journal.read_bytes() == lines and (home / "shared/o.jsonl").read_bytes() == out
    assert not [*journal.parent.glob(".o.jsonl*")]


def test_what_a_plain_run_recorded_stays_in_a_merge(home, monkeypatch):
    alone = DRAFTS.replace("%", "shared").replace("problems.jsonl", "few.jsonl").split()
    few = home / "few.jsonl"
    few.write_text("".join((home / "problems.jsonl").read_text().splitlines(True)[:5]))
    assert codefavor(*alone, home=home).code == 0
    for index in range(N):
        make_anew(DRAFTS, home, monkeypatch, index)
    for _ in range(2):
        done = merge(DRAFTS, home)
        assert done.code == 0 and "5 had ended before" in done.stdout
        rows = (home / "shared/o.jsonl").read_text().splitlines()
        assert len(rows) == 24 and sum("# anew" not in row for row in rows) == 10
    manifest = json.loads((home / "shared/o.jsonl.journal.manifest.json").read_text())
    start, end = manifest["merged_bytes"]
    lines = (home / "shared/o.jsonl.journal").read_bytes()
    assert lines[:start].count(b"\n") == 5 and end == len(lines)


@pytest.mark.parametrize("words", [DRAFTS, f"{PAIRS} --model {FAKE}"], ids=["file", "folder"])
def test_a_shard_says_that_it_runs_rows_of_a_plain_run_again(home, words):
    words = words.replace("%", "shared").split()
    first = codefavor(*words, "--shard", "0/2", home=home)
    # Of another machine, which did not see the first shard.
    (home / "shared").rename(home / "first")
    assert codefavor(*words, home=home).code == 0
    (home / "first" / "shards").rename(home / "shared" / "shards")
    second = codefavor(*words, "--shard", "1/2", home=home)
    assert first.code == second.code == 0
    told = "holds rows of a run without --shard"
    assert told not in first.stderr and second.stderr.count(told) == 1


@pytest.mark.parametrize("words", [DRAFTS, COMMANDS["answers and their judge"]])
def test_a_plain_run_does_not_pay_again_for_what_shards_have(home, monkeypatch, words):
    plain = words.replace("%", "shared").split()
    assert codefavor(*plain, "--shard", "1/3", home=home).code == 0
    asked = []
    with monkeypatch.context() as patch:
        patch.setattr(f"{__name__}.answer", asked.append)
        for more in ([], ["--fresh"]):
            done = codefavor(*plain, *more, "--no-cache", home=home)
            assert done.code == 2 and done.stderr.count("error:") == 1
            assert "is of shard 1/3 of this output" in done.stderr and not asked
    run_shards(words, home)
    assert merge(words, home).code == 0
    # Of what is merged nothing is left to ask.
    done = codefavor(*plain, home=home)
    assert done.code == 0 and " 0 requests" in done.stdout + done.stderr


@pytest.mark.parametrize(
    "words", [DRAFTS, f"{PAIRS} --model {FAKE}", COMMANDS["answers and their judge"]]
)
def test_a_plain_run_that_is_refused_has_forgotten_nothing(home, words):
    plain = words.replace("%", "shared").split()
    # Where a shard is copied to later, there are rows of a plain run.
    assert codefavor(*plain, "--shard", "0/2", home=home).code == 0
    (home / "shared").rename(home / "first")
    assert codefavor(*plain, home=home).code == 0
    (home / "first" / "shards").rename(home / "shared" / "shards")
    before = contents(home / "shared")
    done = codefavor(*plain, "--fresh", home=home)
    assert done.code == 2 and "is of shard 0/2 of this output" in done.stderr
    assert contents(home / "shared") == before
    # Nor has a shard of another division.
    done = codefavor(*plain, "--fresh", "--shard", "0/3", home=home)
    assert done.code == 2 and "is of a division into 2 of this output" in done.stderr
    assert contents(home / "shared") == before


def contents(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith((".lock", "-shm", "-wal"))
    }


def test_a_plain_run_does_not_pass_over_what_a_shard_spent_without_a_row(home):
    plain = DRAFTS.replace("%", "shared").split()
    assert codefavor(*plain, "--shard", "1/3", "--budget-tokens", 1, home=home).code == 2
    (shard(home, 1) / "o.jsonl.journal.spent").write_text("+1 900 1024 0.5\n")
    assert codefavor(*plain, home=home).code == 2
    shutil.rmtree(home / "shared" / "shards")
    assert codefavor(*plain, home=home).code == 0


def test_statistics_do_not_hang_on_the_order_in_which_rows_ended(home):
    # Of problems with one pair, three, five ... pairs.
    grouped = [
        Preference(f"g{n}", f"Task {int(n**0.5)}.", f"{PROGRAMS[True]}# {n}\n", f"x = {n}\n")
        for n in range(40)
    ]
    rows = [{**one.to_row(), "problem_id": one.instruction} for one in grouped]
    write(home / "pairs.jsonl", rows)
    words = f"{PAIRS} --model {FAKE}".replace("%", "shared").split()
    assert codefavor(*words, home=home).code == 0
    (result,) = (home / "shared").glob("*.json")
    before = json.loads(result.read_text())
    (journal,) = (home / "shared/rows").glob("*.jsonl")
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(reversed(lines)))
    assert codefavor(*words, home=home).code == 0
    after = json.loads(result.read_text())
    assert without_measured(after["metrics"]) == without_measured(before["metrics"])
    assert after["subgroups"] == before["subgroups"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["doctor"], "merge-shards: `codefavor doctor` is none of the commands that run in shards"),
        ([*DRAFTS.split(), "--dry-run"], "merge-shards: --dry-run does not go with it"),
        ([*DRAFTS.split(), "--shard", "0/2"], "merge-shards: --shard does not go with it"),
        ([*DRAFTS.split(), "--shard=0/2"], "merge-shards: --shard does not go with it"),
    ],
)
def test_what_cannot_be_merged_is_refused_by_name(home, words, said):
    done = codefavor("merge-shards", *words, home=home)
    assert done.code == 2 and said in done.stderr
    assert "No such option" not in done.stderr


def shard(home, index, n=N):
    return home / "shared" / "shards" / f"{index}-of-{n}"


def lose_a_shard(home):
    shutil.rmtree(shard(home, 1))
    return DRAFTS


def lose_a_record(home):
    journal = shard(home, 2) / "o.jsonl.journal"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-1]))
    return DRAFTS


def ask_otherwise(home):
    return DRAFTS.replace("--n 2", "--n 3")


def change_a_row(home):
    text = (home / "problems.jsonl").read_text()
    (home / "problems.jsonl").write_text(text.replace("Double number 4", "Double the number 4"))
    return DRAFTS


def drop_a_row(home):
    lines = (home / "problems.jsonl").read_text().splitlines(keepends=True)
    (home / "problems.jsonl").write_text("".join(lines[:-1]))
    return DRAFTS


def change_the_code(home):
    path = shard(home, 0) / "o.jsonl.journal.manifest.json"
    row = json.loads(path.read_text())
    row["shard"]["code_sha256"] = ["0123456789abcdef"]
    path.write_text(json.dumps(row))
    return DRAFTS


def copy_a_shard(home):
    shutil.rmtree(shard(home, 1))
    shutil.copytree(shard(home, 0), shard(home, 1))
    return DRAFTS


def divide_twice(home):
    # On another machine, as a shard is refused that sees those of another division.
    (home / "shared").rename(home / "other")
    run_shards(DRAFTS, home, n=2)
    shutil.copytree(home / "other", home / "shared", dirs_exist_ok=True)
    return DRAFTS


def have_none(home):
    shutil.rmtree(home / "shared" / "shards")
    return DRAFTS


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lose_a_shard, "1 of 3 shards are missing: 1/3"),
        (lose_a_record, "shard 2/3 is not finished: it has no record of the row"),
        (ask_otherwise, "made under other settings: sampling.n = 2 (here 3)"),
        (change_a_row, "was run on another input: its row p4"),
        (drop_a_row, "was run on another input: it has the row p11"),
        (change_the_code, "by another version of the code: 0123456789abcdef"),
        (copy_a_shard, "is of shard 0/3, in the folder of shard 1/3"),
        (divide_twice, "there are shards of 2 and of 3"),
        (have_none, "no shards to merge"),
    ],
)
def test_what_is_not_the_whole_of_one_run_is_refused(home, spoil, words):
    run_shards(DRAFTS, home)
    done = merge(spoil(home), home)
    assert done.code == 2 and words in done.stderr
    assert done.stderr.count("error:") == 1
    assert not (home / "shared" / "o.jsonl").exists()


@pytest.mark.parametrize("name", ["drafts", "chat judge"])
def test_a_shard_of_another_division_is_refused_before_it_asks(home, monkeypatch, name):
    words = COMMANDS[name].replace("%", "shared")
    run_shards(words, home)
    asked = []
    monkeypatch.setattr(f"{__name__}.answer", asked.append)
    done = codefavor(*words.split(), "--shard", "1/2", home=home)
    assert done.code == 2 and "is of a division into 3 of this output" in done.stderr
    assert not asked
    # What was refused is no second division: the first goes on, and is merged.
    monkeypatch.undo()
    run_shards(words, home)
    assert merge(words, home).code == 0
    other = words.replace("o.jsonl", "p.jsonl") + (" --name other" if name != "drafts" else "")
    done = codefavor(*other.split(), "--shard", "1/2", home=home)
    assert done.code == 0, done.stderr


@pytest.mark.parametrize("text", ["3/3", "-1/3", "x", "1", "0/0"])
def test_a_shard_that_is_none_is_refused(home, text):
    done = codefavor(*DRAFTS.replace("%", "shared").split(), f"--shard={text}", home=home)
    assert done.code == 2 and "expected I/N" in done.stderr


def test_shards_together_spend_no_more_than_the_budget(home):
    budget = 9000
    for index in range(N):
        words = DRAFTS.replace("%", "shared").split()
        limits = ["--budget-tokens", budget, "--max-error-rate", 1]
        codefavor(*words, "--shard", f"{index}/{N}", *limits, home=home)
    spent = [read_spent(shard(home, index) / "o.jsonl.journal") for index in range(N)]
    used = sum(one.usage.input_tokens + one.usage.output_tokens for one in spent)
    assert 0 < used <= budget
    # Each stopped at its own third, which is short of all its rows.
    assert any(len(line) for line in (shard(home, 0) / "o.jsonl.journal").read_text().splitlines())


def test_caps_that_leave_a_shard_nothing_are_refused(home):
    words = DRAFTS.replace("%", "shared").split()
    done = codefavor(*words, "--shard", "0/3", "--requests-per-min", 2, home=home)
    assert done.code == 2 and "--requests-per-min 2 is less than one" in done.stderr


@pytest.mark.parametrize("cap", ["--input-tokens-per-min", "--output-tokens-per-min"])
def test_shards_that_know_nothing_of_each_other_send_no_more_than_a_cap_together(home, cap):
    n_sent = 0

    def note(call):
        nonlocal n_sent
        n_sent += 1
        return openai_reply(call, "x = 1")

    with LoopbackServer(note) as server:
        words = DRAFTS.replace(FAKE, "openai:m").replace("%", "shared").split()
        words += ["--set", f"base_url={server.url}/v1", "--max-tokens", 300, cap, 600]
        text = (home / "problems.jsonl").read_text().replace("number", "number" * 150)
        (home / "problems.jsonl").write_text(text)
        for index in range(N):
            done = codefavor(*words, "--shard", f"{index}/{N}", home=home)
            assert done.code == 2 and done.stderr.count("error:") == 1
            assert "has 200 of the " + cap in done.stderr
    assert n_sent == 0


def test_pairs_do_not_hang_on_the_order_in_which_answers_came(home):
    words = COMMANDS["levels"].replace("%", "shared").split()
    assert codefavor(*words, home=home).code == 0
    out, journal = (home / "shared" / name for name in ("o.jsonl", "o.jsonl.journal"))
    before = out.read_bytes()
    journal.write_bytes(b"".join(reversed(journal.read_bytes().splitlines(keepends=True))))
    assert codefavor(*words, home=home).code == 0
    assert before.count(b"\n") > 1 and out.read_bytes() == before


def test_how_often_the_members_of_a_cascade_were_asked_is_said_of_all_shards(home):
    words = f"{PAIRS} --model cascade:shorter,{FAKE}"
    assert codefavor(*words.replace("%", "alone").split(), home=home).code == 0
    run_shards(words, home, n=2)
    assert merge(words, home).code == 0
    alone, shared = (
        json.loads(next((home / folder).glob("*.json")).read_text())["usage"]["asked"]
        for folder in ("alone", "shared")
    )
    # Both sides of each of 20 pairs are of one length or not, in both orders.
    assert shared == alone and max(alone.values()) == 40


def test_a_merge_that_is_refused_leaves_the_exit_code(home):
    done = codefavor("merge-shards", "score", "--nonsense", home=home)
    assert done.code == 2 and "--nonsense" in done.stderr


def test_a_shard_that_is_lent_nothing_more_names_the_whole_budget():
    class Others:
        async def lend(self, ledger, used, needed, n_reserved):
            return Loan(None)

    token = joined.set(Joined(Others(), None, None, Progress))
    try:
        budget = own_budget(Budget(usd=2.0, tokens=9000), Shard(0, 4))
    finally:
        joined.reset(token)
    tracker = BudgetTracker(budget, Price(1.0, 1.0), Ledger())
    with pytest.raises(BudgetError) as error:
        asyncio.run(tracker.reserve(Usage(100, 100)))
    assert "by all shards together; this one took: $0.0000 of $2.0000" in str(error.value)
    assert "0 of 9000 tokens" in str(error.value)
