"""`codefavor evaluate` from a file of pairs to a result file, with a fake chat model."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from math import exp

import pytest
from typer.testing import CliRunner

from codefavor.backends.base import Response, TokenLogprob
from codefavor.backends.fake import FakeBackend
from codefavor.benchmarks.pairs_benchmark import items_of, judge_step
from codefavor.cli.evaluate import app
from codefavor.cli.report import app as report_app
from codefavor.engine.context import Context
from codefavor.engine.runner import run as run_rows
from codefavor.errors import BackendError, CodefavorError, ConfigError, DataError, JournalError
from codefavor.evaluation.results import rescore
from codefavor.evaluation.suite import (
    Task,
    load_task,
    rescore_task,
    result_path,
    run_task,
)
from codefavor.journal import Journal, read_journal, rewrite_journal
from codefavor.judges.llm import LlmJudge, verdict_of_logprobs
from codefavor.judges.spec import parse_judge
from codefavor.records import Preference, write_rows
from codefavor.result_file import read_result, rows_path
from codefavor.statistics.metrics import score

PAIRS = [
    Preference(
        id=f"p{i}",
        instruction=f"Return {i}.",
        chosen=f"def f():\n    return {i}  # {'long' * (i % 3)}",
        rejected=f"def f():\n    return {i} + 1",
        problem_id=f"problem-{i // 2}",
        level="easy" if i % 2 else "hard",
    )
    for i in range(12)
]


def answer_rightly(request):
    """The reply of a model that knows: the program without "+ 1" is right."""
    text = request.messages[-1]["content"]
    program_a = text.split("Program A:")[1].split("Program B:")[0]
    return json.dumps({"feedback": "", "winner": "B" if "+ 1" in program_a else "A"})


asked = []


def remember_roles(request):
    asked.append([message["role"] for message in request.messages])
    return "[RESULT] A"


def always_a(request):
    return "[RESULT] A"


@pytest.fixture
def pairs_file(tmp_path):
    path = tmp_path / "pairs.jsonl"
    write_rows(path, [pair.to_row() for pair in PAIRS])
    return path


def options(function="answer_rightly", **more):
    return parse_judge(f"fake:{__name__}:{function}", more)


def run(task, judge_options, out):
    return run_task(task, judge_options, out, make_context=lambda backend: Context(backend=backend))


def test_a_judge_that_knows_scores_100_and_gains_over_the_trivial(pairs_file, tmp_path):
    out = tmp_path / "r.json"
    result, counts = run(Task("pairs", data=pairs_file), options(), out)
    assert (counts.n_ok, counts.n_error) == (12, 0)
    assert result["metrics"]["overall"]["accuracy"] == 1
    assert result["metrics"]["overall"]["consistency"] == 1
    assert set(result["metrics"]["by_level"]) == {"easy", "hard"}
    assert result["best_trivial"]["gain"]["mean"] > 0
    assert read_result(out) == result


@pytest.mark.parametrize("name", ["shorter", "longer", "random", "copied"])
def test_a_trivial_judge_is_not_compared_with_itself(name, pairs_file, tmp_path):
    result, _ = run(Task("pairs", data=pairs_file), parse_judge(name), tmp_path / "r.json")
    assert result["best_trivial"]["name"] != name
    assert name in result["trivial"]


def test_a_result_names_its_prompt_by_hash_and_other_words_are_another_prompt(pairs_file, tmp_path):
    def hash_of(mode):
        path = tmp_path / f"{mode}.json"
        return run(Task("pairs", data=pairs_file), options(mode=mode), path)[0]["prompt_sha256"]

    assert hash_of("structured") != hash_of("letter")
    assert rescore_task(Task("pairs", data=pairs_file), options(), tmp_path / "letter.json")[
        "prompt_sha256"
    ] == hash_of("letter")


def test_a_mode_that_the_backend_has_not_is_refused_before_anything_is_asked():
    backend = FakeBackend(f"{__name__}:always_a")
    backend.features = frozenset({"stop", "system"})
    for mode in ("structured", "logprobs"):
        with pytest.raises(ConfigError, match=f"--mode {mode} needs a backend"):
            LlmJudge(backend, mode=mode)
    assert LlmJudge(backend).mode == "reasoned"


def test_a_judge_that_always_says_a_has_50_percent_and_full_position_bias(pairs_file, tmp_path):
    result, _ = run(Task("pairs", data=pairs_file), options("always_a"), tmp_path / "r.json")
    overall = result["metrics"]["overall"]
    assert (overall["accuracy"], overall["consistency"], overall["position_bias"]) == (0.5, 0, 1)


def test_an_evaluation_goes_on_where_it_was_and_asks_nothing_twice(pairs_file, tmp_path):
    out = tmp_path / "r.json"
    run(Task("pairs", data=pairs_file), options(), out)
    _, counts = run(Task("pairs", data=pairs_file), options(), out)
    assert (counts.n_resumed, counts.n_ok, counts.n_requests) == (12, 0, 0)


def test_other_settings_do_not_resume(pairs_file, tmp_path):
    out = tmp_path / "r.json"
    run(Task("pairs", data=pairs_file), options(), out)
    with pytest.raises(JournalError, match="orders"):
        run(Task("pairs", data=pairs_file, orders="one"), options(), out)


def test_rescore_recomputes_from_stored_replies_alone(pairs_file, tmp_path):
    out = tmp_path / "r.json"
    task = Task("pairs", data=pairs_file)
    result, _ = run(task, options("always_a"), out)
    out.unlink()
    assert rescore_task(task, options("always_a"), out)["metrics"] == result["metrics"]
    # A stored reply that reads differently today changes the numbers.
    journal = rows_path(out)
    records = list(read_journal(journal))
    for record in records:
        record["row"]["verdicts"]["chosen_first"]["raw"] = "[RESULT] B"
    assert score(rescore(records, {"mode": "reasoned"})).overall.accuracy == 0


def test_rescore_without_stored_replies_says_what_to_do(pairs_file, tmp_path):
    with pytest.raises(DataError, match="without --rescore"):
        rescore_task(Task("pairs", data=pairs_file), options(), tmp_path / "none.json")


async def test_a_failed_call_is_an_error_and_never_undecided(tmp_path):
    def fail_on_two(request):
        if "Return 2." in request.messages[-1]["content"]:
            raise BackendError("no", retryable=False, reason="bad_request")
        return answer_rightly(request)

    backend = FakeBackend("fails", function=fail_on_two)
    items = items_of(PAIRS)
    with Journal.open(tmp_path / "j.jsonl", {}) as journal:
        step = judge_step(LlmJudge(backend))
        counts = await run_rows(step, items, journal, context=Context(backend))
    found = score(read_journal(tmp_path / "j.jsonl"), {item["id"]: item for item in items})
    assert (counts.n_ok, counts.n_error, counts.reasons) == (11, 1, {"bad_request": 1})
    assert (found.overall.n, found.overall.n_error, found.overall.n_undecided) == (12, 1, 0)
    assert found.overall.accuracy == 1
    assert found.overall.accuracy_errors_wrong == pytest.approx(11 / 12)
    assert found.by_level["hard"].n_error == 1


def test_logprobs_of_the_labels_decide():
    top = {"A": -1.0, " A": -2.0, "B": -1.2, "The": -3.0}
    response = Response("A", logprobs=(TokenLogprob("A", -1.0, top),))
    verdict = verdict_of_logprobs(response)
    mass_a = exp(-1.0) + exp(-2.0)
    assert verdict.choice == "A"
    assert verdict.p_a == pytest.approx(mass_a / (mass_a + exp(-1.2)))
    nothing = Response("x", logprobs=(TokenLogprob("x", -0.1, {"x": -0.1, "y": -3.0}),))
    assert verdict_of_logprobs(nothing).choice == "undecided"


def test_the_command_prints_a_table_and_names_the_result(pairs_file, tmp_path):
    found = CliRunner().invoke(
        app,
        [
            *shlex.split("pairs --model shorter --data"),
            *(str(pairs_file), "--out", str(tmp_path / "out")),
        ],
    )
    assert found.exit_code == 0, found.output
    assert "easy" in found.stdout
    result = tmp_path / "out" / "pairs.shorter.json"
    assert str(result) in found.stdout
    assert read_result(result)["benchmark"] == "pairs"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "gpt"], "KIND is one of: anthropic"),
        (["--model", "pair-rm:x"], "write pairwise:FOLDER"),
        (["--model", "random", "--data", "/nowhere.jsonl"], "no such file"),
        (["--model", "random"], "--data FILE"),
        (["--model-type", "length-bias"], "shorter or --model longer"),
        (["--model", "likelihood"], "write likelihood:FOLDER"),
        (["--model", "random:7"], "takes no name"),
        ([], "--model KIND:NAME"),
    ],
)
def test_bad_input_is_one_error(arguments, message, pairs_file, tmp_path):
    is_given = "--data" in message or "--data" in arguments
    data = [] if is_given else ["--data", str(pairs_file)]
    found = CliRunner().invoke(app, ["pairs", *data, *arguments, "--out", str(tmp_path)])
    assert isinstance(found.exception, CodefavorError)
    assert message in str(found.exception)


def test_a_pair_without_a_field_is_named_by_file_and_line(tmp_path):
    path = tmp_path / "pairs.jsonl"
    write_rows(path, [PAIRS[0].to_row(), {"id": "x", "instruction": "i", "chosen": "a"}])
    with pytest.raises(DataError, match=r"pairs.jsonl:2.*'rejected'"):
        run(Task("pairs", data=path), options(), tmp_path / "r.json")


@pytest.mark.parametrize(("system", "roles"), [(None, 1), ("none", 1), ("empty", 2)])
def test_a_judge_is_asked_with_the_system_turn_it_was_trained_with(
    pairs_file, tmp_path, system, roles
):
    asked.clear()
    judge = options("remember_roles", system=system)
    result, _ = run(Task("pairs", data=pairs_file), judge, tmp_path / "r.json")
    assert {len(found) for found in asked} == {roles}
    assert result["judge"]["system"] == (system or "none")


shown = []


def remember_text(request):
    shown.append(request.messages[-1]["content"])
    return "[RESULT] A"


def test_a_judge_is_shown_a_benchmarks_whole_answers_as_they_are(tmp_path):
    shown.clear()
    answers = ["Add them:\n```python\na + b\n```\nDone.", "I cannot."]
    row = {
        "pair_id": "p", "source": "livecodebench", "question": "Add.", "label": "A>B",
        "response_A": answers[0], "response_B": answers[1],
    }  # fmt: skip
    write_rows(tmp_path / "rows.jsonl", [row])
    task = Task("judgebench", data=tmp_path / "rows.jsonl")
    run(task, options("remember_text"), tmp_path / "r.json")
    assert f"Program A:\n{answers[0]}\n\nProgram B:\n{answers[1]}\n\n" in shown[0]


def test_an_unknown_system_turn_is_refused(pairs_file, tmp_path):
    with pytest.raises(ConfigError, match="--system is 'full'"):
        run(Task("pairs", data=pairs_file), options(system="full"), tmp_path / "r.json")


def test_the_result_path_tells_judges_apart(tmp_path):
    task = Task("pairs")
    names = {
        result_path(tmp_path, task, one).name
        for one in (
            parse_judge("likelihood:/models/smol", {"reduction": "sum"}),
            parse_judge("likelihood:/models/smol", {"reduction": "mean"}),
            parse_judge("pairwise:/models/smol"),
            parse_judge("openai:org/gpt-4o"),
        )
    }
    assert names == {
        "pairs.likelihood-smol-sum.json",
        "pairs.likelihood-smol-mean.json",
        "pairs.pairwise-smol.json",
        "pairs.openai-gpt-4o.json",
    }


def test_an_attacked_run_states_the_drop_against_the_run_before_it(pairs_file, tmp_path):
    length = parse_judge("longer")
    base = Task("pairs", data=pairs_file)
    attacked = Task("pairs", data=pairs_file, attack="praise", attack_side="rejected")
    for task in (base, attacked):
        result, _ = run_task(task, length, result_path(tmp_path, task, length))
    found = result["robustness"]
    # Whoever likes the longer program takes the praised one: every pair is lost.
    assert found["accuracy_after"] == 0
    assert found["n"] == 12
    assert found["accuracy_before"] > 0


def test_all_attacks_follow_the_plain_run_and_those_that_cannot_apply_are_named(
    pairs_file, tmp_path
):
    arguments = ["pairs", "--data", str(pairs_file), "--out", str(tmp_path)]
    judge = ["--model", "longer", "--attack", "all"]
    found = CliRunner().invoke(app, [*arguments, *judge])
    assert found.exit_code == 0, found.output
    # One function a program: there is nothing to reorder.
    assert "left out: the attack reorder applies to none" in found.output
    names = {path.name for path in tmp_path.glob("*.json")}
    assert "pairs.longer.json" in names
    assert "pairs.longer-injection-rejected.json" in names
    assert not any("reorder" in name for name in names)
    for name in names - {"pairs.longer.json"}:
        assert read_result(tmp_path / name)["robustness"]["n"] > 0


def test_a_smaller_sample_lies_within_a_larger_one(pairs_file):
    drawn = [
        {item["id"] for item in load_task(Task("pairs", data=pairs_file, sample=n))}
        for n in (3, 7, 12)
    ]
    assert [len(one) for one in drawn] == [3, 7, 12]
    assert drawn[0] < drawn[1] < drawn[2]
    other = {item["id"] for item in load_task(Task("pairs", data=pairs_file, sample=3, seed=1))}
    assert other != drawn[0]


def test_stored_scores_are_read_by_another_reduction_without_the_model(pairs_file, tmp_path):
    items = load_task(Task("pairs", data=pairs_file))
    # The better program is likelier per token, and less likely as a whole.
    better, worse = {"total": -8.0, "n_tokens": 8}, {"total": -6.0, "n_tokens": 4}

    def raw(first, second):
        return json.dumps(
            {f"{k}_{side}": one[k] for side, one in (("a", first), ("b", second)) for k in one}
        )

    rows = [
        {
            **{key: item[key] for key in ("id", "problem_id", "level")},
            "verdicts": {
                "chosen_first": {"choice": "A", "p_a": 0.6, "raw": raw(better, worse)},
                "rejected_first": {"choice": "B", "p_a": 0.4, "raw": raw(worse, better)},
            },
        }
        for item in items
    ]
    records = [{"id": row["id"], "status": "ok", "row": row} for row in rows]
    described = {"name": "likelihood (mean)", "kind": "likelihood", "reduction": "mean"}
    mean, whole = tmp_path / "mean.json", tmp_path / "sum.json"
    rewrite_journal(rows_path(mean), {"judge": described}, records)
    task = Task("pairs", data=pairs_file)
    judge = parse_judge("likelihood:folder", {"reduction": "mean"})
    assert rescore_task(task, judge, mean)["metrics"]["overall"]["accuracy"] == 1
    other = parse_judge("likelihood:folder", {"reduction": "sum"})
    result = rescore_task(task, other, whole, stored=mean)
    assert result["metrics"]["overall"]["accuracy"] == 0
    assert (result["judge"]["reduction"], result["judge"]["name"]) == ("sum", "likelihood (sum)")
    # The rows of the new reading lie beside it, for the leaderboard; the old ones are untouched.
    assert score(read_journal(rows_path(whole))).overall.accuracy == 0
    assert score(read_journal(rows_path(mean))).overall.accuracy == 1


def test_a_result_names_the_licence_of_its_pairs(pairs_file, tmp_path):
    write_rows(pairs_file, [replace(pair, license="MIT").to_row() for pair in PAIRS])
    length = parse_judge("longer")
    result, _ = run_task(Task("pairs", data=pairs_file), length, tmp_path / "r.json")
    assert result["license"] == "MIT"
    # Set once a result, and not in each of its rows.
    assert "license" not in next(iter(read_journal(rows_path(tmp_path / "r.json"))))["row"]


def test_the_board_is_made_of_results_rows_and_texts(pairs_file, tmp_path):
    for kind in ("shorter", "longer"):
        length = parse_judge(kind)
        task = Task("pairs", data=pairs_file)
        run_task(task, length, result_path(tmp_path, task, length))
    paths = sorted(map(str, tmp_path.glob("*.json")))
    out = tmp_path / "board.html"
    arguments = ["leaderboard", *paths, "--out", str(out), "--data", str(pairs_file)]
    found = CliRunner().invoke(report_app, arguments)
    assert found.exit_code == 0, found.output
    page = out.read_text()
    for part in ("Agreement", "Paired tests", "return 3", "worse program first"):
        assert part in page
    assert (tmp_path / "board.md").read_text().count("\n") == 4
    # Without the data the page still shows every verdict, and says what it lacks.
    bare = CliRunner().invoke(report_app, arguments[:-2])
    assert bare.exit_code == 0
    assert "shows no programs of pairs" in bare.output
    assert "return 3" not in out.read_text()


def test_a_jury_and_a_cascade_of_stored_runs_ask_nobody(pairs_file, tmp_path):
    task = Task("pairs", data=pairs_file)
    paths = {}
    for name, one in {
        "knows": options(),
        "a": options("always_a"),
        "shorter": parse_judge("shorter"),
    }.items():
        paths[name] = tmp_path / f"{name}.json"
        run(task, one, paths[name])
    members = ",".join(str(paths[name]) for name in ("a", "knows", "shorter"))
    jury, counts = run(task, parse_judge(f"jury:{members}"), tmp_path / "jury.json")
    assert (counts.n_ok, counts.n_error, counts.n_requests) == (12, 0, 0)
    # Shown first, the better program has two votes of three. Shown second, the votes of "knows" and
    # "a" cancel and length decides: equal for 4 pairs (a tie), against it for the other 8.
    assert jury["metrics"]["overall"]["accuracy"] == pytest.approx((4 * 0.75 + 8 * 0.5) / 12)
    cascade = parse_judge(f"cascade:{paths['knows']},{paths['a']}")
    result, _ = run(task, cascade, tmp_path / "cascade.json")
    # The first is never in doubt (it states no probability), so the second is never asked.
    assert result["metrics"]["overall"]["accuracy"] == 1
    assert result["judge"]["members"].keys() == {"stored:knows", "stored:a"}


def test_a_pair_that_a_juror_did_not_judge_is_an_error(pairs_file, tmp_path):
    whole, part = tmp_path / "whole.json", tmp_path / "part.json"
    length = parse_judge("longer")
    run_task(Task("pairs", data=pairs_file), length, whole)
    run_task(Task("pairs", data=pairs_file, limit=5), length, part)
    jury = parse_judge(f"jury:{whole},{part}")
    result, counts = run_task(Task("pairs", data=pairs_file), jury, tmp_path / "jury.json")
    assert counts.reasons == {"not_judged": 7}
    assert result["metrics"]["overall"]["n_error"] == 7


def test_a_jury_of_one_is_refused(pairs_file, tmp_path):
    with pytest.raises(CodefavorError, match="two members or more"):
        run_task(Task("pairs", data=pairs_file), parse_judge("jury:x.json"), tmp_path / "j")
