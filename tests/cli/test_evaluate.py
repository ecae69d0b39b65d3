"""`codefavor evaluate` with judges that run tests, and with juries and cascades."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from codefavor.cli.evaluate import app
from codefavor.engine.budget import TokenForecast
from codefavor.errors import BackendError
from codefavor.journal import read_journal
from codefavor.judges.stored import StoredJudge, held_out_weights
from codefavor.records import Preference, Problem, write_rows
from codefavor.result_file import read_result, rows_path
from tests.backends.test_vllm import PROGRAM, wait_until_gone

N = 8


def pair(number, **more):
    """A pair whose better program adds `number`; the worse one is shorter and adds one less."""
    row = Preference(
        id=f"p{number}",
        instruction=f"Add {number} to x.",
        chosen=f"def add(x):\n    result = x + {number}\n    return result",
        rejected=f"def add(x):\n    return x + {number - 1}",
        problem_id=f"problem-{number}",
    ).to_row()
    return {**row, **more}


def asserts_for(number):
    return f"assert add(0) == {number}\nassert add(5) == {number + 5}\n"


@pytest.fixture
def pairs_file(tmp_path):
    path = tmp_path / "pairs.jsonl"
    write_rows(path, [pair(i, tests=asserts_for(i), entry_point="add") for i in range(N)])
    return path


def evaluate(*words):
    found = CliRunner().invoke(app, [str(word) for word in words])
    return found, str(found.output) + str(found.exception or "")


def judged(pairs_file, out, *words):
    found, output = evaluate("pairs", "--data", pairs_file, "--out", out, *words)
    assert found.exit_code == 0, output
    return read_result(max(out.glob("*.json"), key=lambda path: path.stat().st_mtime_ns))


def test_tests_of_the_pairs_themselves_decide(pairs_file, tmp_path):
    result = judged(pairs_file, tmp_path / "r", "--model", "execution")
    overall = result["metrics"]["overall"]
    assert (overall["accuracy"], overall["n"], overall["n_error"]) == (1, N, 0)
    assert result["judge"]["kind"] == "execution"
    assert result["judge"]["level"] in ("L2", "L3")
    rows = list(read_journal(next((tmp_path / "r" / "rows").glob("*.jsonl"))))
    raw = json.loads(rows[0]["row"]["verdicts"]["chosen_first"]["raw"])
    assert [run["passed"] for run in raw] == [2, 0]


def test_tests_of_named_problems_are_joined_by_problem_id(tmp_path):
    pairs, problems = tmp_path / "pairs.jsonl", tmp_path / "problems.jsonl"
    write_rows(pairs, [pair(i) for i in range(4)])
    known = [Problem(f"problem-{i}", "", asserts_for(i), "add").to_row() for i in range(3)]
    write_rows(problems, known)
    out = tmp_path / "r"
    result = judged(pairs, out, "--model", "execution", "--tests", problems)
    overall = result["metrics"]["overall"]
    # Three pairs are right twice; the one without tests is undecided twice and scores one half.
    assert (overall["accuracy"], overall["n_undecided"]) == (0.875, 2)
    write_rows(problems, [{**one, "tests": "assert add(0) == 7"} for one in known])
    words = ["--model", "execution", "--tests", problems, "--out", out]
    found, output = evaluate("pairs", "--data", pairs, *words)
    assert found.exit_code != 0 and "tests_sha256" in output


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (pair(1), "none of the 1 pairs of pairs has tests"),
        (pair(1, tests="x", language="rust"), "the sandbox runs Python programs"),
    ],
)
def test_pairs_whose_tests_cannot_run_are_refused(row, message, tmp_path):
    write_rows(tmp_path / "pairs.jsonl", [row])
    words = ["--data", tmp_path / "pairs.jsonl", "--out", tmp_path / "r"]
    found, output = evaluate("pairs", *words, "--model", "execution")
    assert found.exit_code != 0 and message in " ".join(output.split())


def test_weights_and_probabilities_reach_the_jury(pairs_file, tmp_path):
    out = tmp_path / "r"
    for side in ("shorter", "longer"):
        judged(pairs_file, out, "--model", side)
    sides = ("shorter", "longer")
    members = ",".join(str(out / f"pairs.{side}.json") for side in sides)
    jury = ["--model", f"jury:{members}", "--name"]
    equal = judged(pairs_file, out, *jury, "equal")
    assert equal["metrics"]["overall"]["tie_rate"] == 1
    second = judged(pairs_file, out, *jury, "second", "--weights", "1,2")
    assert second["metrics"]["overall"]["accuracy"] == 1
    assert second["judge"]["weights"] == "1,2"
    # The shorter program is always the worse one: held out, that judge has no weight at all.
    learnt = judged(pairs_file, out, *jury, "learnt", "--weights", "accuracy")
    assert learnt["metrics"]["overall"]["accuracy"] == 1
    for bad, message in (("1,x", "numbers"), ("1", "as many weights"), ("0,0", "not all zero")):
        words = [*jury, "bad", "--weights", bad, "--out", out]
        found, output = evaluate("pairs", "--data", pairs_file, *words)
        assert found.exit_code != 0 and message in output


def test_a_held_out_weight_is_the_log_odds_on_other_problems():
    def record(item_id, choice):
        verdict = {"choice": choice, "p_a": None, "raw": ""}
        return {"id": item_id, "problem_id": item_id, "verdicts": {"chosen_first": verdict}}

    items = [{"id": f"i{n}", "problem_id": f"i{n}", "chosen": "a"} for n in range(40)]
    judge = StoredJudge("j", [record(f"i{n}", "A" if n < 30 else "B") for n in range(40)], items)
    coin = StoredJudge("c", [record(f"i{n}", "AB"[n % 2]) for n in range(40)], items)
    weights = held_out_weights([judge, coin], items, n_folds=2)
    parts = {}
    for item_id, weight in weights.items():
        parts.setdefault(tuple(weight), set()).add(int(item_id[1:]))
    assert len(parts) == 2
    for (weight, _), members in parts.items():
        others = set(range(40)) - members
        right = sum(n < 30 for n in others)
        # (right + 1) / (n + 2) is the share; its odds are (right + 1) / (wrong + 1).
        expected = (right + 1) / (len(others) - right + 1)
        assert 2.718281828459045**weight == pytest.approx(expected)
        assert all(one >= 0 for one in weights["i0"])


def test_a_cascade_runs_tests_only_where_the_cheap_member_doubts(pairs_file, tmp_path):
    words = ["--model", "cascade:shorter,execution"]
    sure = judged(pairs_file, tmp_path / "a", *words)
    assert sure["metrics"]["overall"]["accuracy"] == 0
    assert sure["usage"]["asked"] == {"shorter": 2 * N, "execution": 0}
    words = ["--model", "cascade:random,execution", "--min-confidence", "0.9"]
    result = judged(pairs_file, tmp_path / "b", *words)
    assert result["judge"]["min_confidence"] == 0.9
    assert set(result["judge"]["members"]) == {"random", "execution"}


def test_edited_pairs_are_judged_again_by_a_judge_that_is_no_chat_model(pairs_file, tmp_path):
    words = ["--model", "shorter", "--out", tmp_path / "r", "--data", pairs_file]
    assert evaluate("pairs", *words)[0].exit_code == 0
    write_rows(pairs_file, [pair(i, instruction="Add it.") for i in range(N)])
    found, output = evaluate("pairs", *words)
    assert found.exit_code != 0 and "--rerun-changed runs what was edited again" in output
    found, output = evaluate("pairs", *words, "--rerun-changed")
    assert found.exit_code == 0, output


def test_a_jury_asks_its_chat_member_through_the_engine(pairs_file, tmp_path):
    words = ["--model", "jury:shorter,fake:", "--weights", "1,3"]
    result = judged(pairs_file, tmp_path / "r", *words, "--cache", tmp_path / "answers.sqlite")
    assert result["usage"]["input_tokens"] > 0


def test_stored_and_live_members_go_together(pairs_file, tmp_path):
    out = tmp_path / "r"
    judged(pairs_file, out, "--model", "shorter")
    stored = out / "pairs.shorter.json"
    words = ["--model", f"jury:{stored},longer,execution"]
    result = judged(pairs_file, out, *words)
    assert result["metrics"]["overall"]["accuracy"] == 1
    assert f"stored:{rows_path(stored).stem}" in result["judge"]["members"]


def remember_prompt(request):
    prompts.append(request.messages[-1]["content"])
    return "[RESULT] A"


prompts = []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "It must be fast."),
        (["--criteria", "Be brief."], "Be brief."),
        (["--criteria", "none"], ""),
    ],
)
def test_criteria_can_be_replaced_and_left_out(words, expected, tmp_path):
    write_rows(tmp_path / "pairs.jsonl", [pair(1, criteria="It must be fast.")])
    judge = ["--model", f"fake:{__name__}:remember_prompt"]
    judge += ["--mode", "reasoned", "--cache", tmp_path / "answers.sqlite"]
    prompts.clear()
    result = judged(tmp_path / "pairs.jsonl", tmp_path / "r", *judge, *words)
    assert len(prompts) == 2
    for prompt in prompts:
        assert expected in prompt and ("Criteria" in prompt) == bool(expected)
        assert ("It must be fast." in prompt) == (expected == "It must be fast.")
    assert result["settings"].get("criteria", "") == (words[1] if words else "")


def talk_on(request):
    """The longest reply that is allowed, in which no verdict can be read."""
    talked.append(request)
    return "? " * (request.sampling.max_tokens // 2)


talked = []


def bound(*words):
    """Requests, input and output tokens that a dry run says."""
    found, output = evaluate(*words, "--dry-run")
    assert found.exit_code == 0, output
    told = re.search(r"at most (\d+) requests, (\d+) input .* (\d+) output", output)
    return map(int, told.groups())


@pytest.mark.parametrize("judge", ["fake:{}", "jury:shorter,fake:{}", "cascade:random,fake:{}"])
@pytest.mark.parametrize("more", ["", "--mode letter", "--protocol paper"])
def test_a_dry_run_of_a_judge_is_a_bound_and_asks_nothing(judge, more, pairs_file, tmp_path):
    model = ["--model", judge.format(f"{__name__}:talk_on")]
    words = ["pairs", "--data", pairs_file, *model, *more.split()]
    talked.clear()
    n_requests, n_input, n_output = bound(*words)
    assert not talked
    evaluate(*words, "--out", tmp_path / "r", "--cache", tmp_path / "answers.sqlite")
    at_most = [TokenForecast().at_most(one) for one in talked]
    assert len(talked) == n_requests
    # The blank at the end of a reply is not shown to the judge again.
    assert 0 <= n_input - sum(one.input_tokens for one in at_most) <= n_requests
    assert n_output == sum(one.output_tokens for one in at_most)


def test_a_dry_run_counts_the_pairs_of_every_attack(pairs_file):
    words = ["pairs", "--data", pairs_file, "--model", "fake:", "--attack", "praise"]
    for side, n in (("rejected", 2), ("both", 3)):
        assert next(bound(*words, "--attack-side", side)) == n * 4 * N


def test_a_dry_run_is_for_judges_that_ask_chat_models(pairs_file):
    for model in ("shorter", "execution", "tested:fake:"):
        found, output = evaluate("pairs", "--data", pairs_file, "--model", model, "--dry-run")
        assert found.exit_code != 0 and "only ask chat models" in output


def test_the_originals_spelling_of_flags_is_understood(pairs_file, tmp_path):
    words = ["--model_type", "length_bias", "--model_id", "shorter", "--evalroot", tmp_path / "r"]
    found, output = evaluate("pairs", "--data", pairs_file, *words)
    assert found.exit_code == 0, output
    assert (tmp_path / "r" / "pairs.shorter.json").is_file()


def test_groups_by_field_length_and_meta_are_reported_apart(tmp_path):
    # The shorter program is right in p0 and p1, wrong in p2 and p3, and there is none in p4.
    rows = []
    for n in range(5):
        texts = ("ab", "abcd") if n < 2 else ("abcd", "ab") if n < 4 else ("abc", "abd")
        row = pair(n, chosen=texts[0], rejected=texts[1], meta={"author": "xyxyx"[n]})
        rows.append({**row, "kind": "odd" if n % 2 else "even"})
    write_rows(tmp_path / "pairs.jsonl", rows)
    judge = ["--model", "shorter"]
    words = [*judge, "--group-by", "kind,author"]
    result = judged(tmp_path / "pairs.jsonl", tmp_path / "r", *words)
    found = {
        name: {value: (one["accuracy"], one["n"]) for value, one in groups.items()}
        for name, groups in result["subgroups"].items()
    }
    assert found == {
        "better program is": {"as long": (0.5, 1), "longer": (0, 2), "shorter": (1, 2)},
        "kind": {"even": (0.5, 3), "odd": (0.5, 2)},
        "author": {"x": (0.5, 3), "y": (0.5, 2)},
    }
    wrong = ["--data", tmp_path / "pairs.jsonl", "--out", tmp_path / "q", *judge]
    refused, output = evaluate("pairs", *wrong, "--group-by", "colour")
    assert refused.exit_code != 0 and "no pair has this field" in output


def test_an_evaluation_of_which_everything_failed_leaves_with_code_1(pairs_file, tmp_path):
    judge = ["--model", f"fake:{__name__}:is_down", "--out", tmp_path / "r"]
    words = [*judge, "--max-error-rate", "1", "--cache", tmp_path / "answers.sqlite"]
    found, output = evaluate("pairs", "--data", pairs_file, *words)
    assert found.exit_code == 1 and f"{N} errors" in output


def test_a_server_is_started_once_for_all_attacks_and_ends_with_the_command(tmp_path, monkeypatch):
    program, started = tmp_path / "vllm", tmp_path / "started"
    # A judge that says nothing a reader understands would be a failure of its own.
    echo = 'text = json.dumps([body["messages"][-1]["content"], flags])'
    assert echo in PROGRAM
    program.write_text(PROGRAM.replace(echo, 'text = "A"'))
    program.chmod(0o755)
    monkeypatch.setenv("STARTED", str(started))
    write_rows(tmp_path / "pairs.jsonl", [pair(1)])
    judge = ["--model", "vllm:some/model", "--set", f"executable={program}"]
    words = [*judge, "--mode", "letter", "--no-cache", "--attack", "praise,docstring"]
    found, output = evaluate(
        "pairs", "--data", tmp_path / "pairs.jsonl", "--out", tmp_path / "r", *words
    )
    assert found.exit_code == 0, output
    assert len(list((tmp_path / "r").glob("*.json"))) == 3
    lines = started.read_text().splitlines()
    assert len(lines) == 1
    assert wait_until_gone(json.loads(lines[0])[0])


def is_down(request):
    raise BackendError("the server is down", retryable=False, reason="server_down")
