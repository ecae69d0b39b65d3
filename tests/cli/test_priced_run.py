"""Dollars from a server's token counts and a price file to the leaderboard's page."""

from __future__ import annotations

import csv
import json
import re

import pytest
from typer.testing import CliRunner

from codefavor.cli.evaluate import app
from codefavor.cli.report import app as report_app
from codefavor.engine.ledger import read_spent
from codefavor.records import Preference, write_rows
from codefavor.result_file import read_result
from tests.engine.test_batch import PlayedBatches
from tests.kit.server import LoopbackServer, Reply

N = 6
PRICES = {
    "openai:big": {"input": 2.5, "output": 10.0, "batch_factor": 0.5},
    "openai:small": {"input": 0.1, "output": 1},
}
# 400 and 20 tokens a reply at these prices, two replies a pair: dollars for 1,000 pairs.
PER_1000 = {"big": 2 * (400 * 2.5 + 20 * 10) / 1000, "small": 2 * (400 * 0.1 + 20 * 1) / 1000}


def answer(call):
    """The big model is always right, the small one always says A."""
    text = call.body["messages"][-1]["content"]
    is_first = "chosen" in text.split("Program B:")[0]
    winner = "A" if is_first or call.body["model"] == "small" else "B"
    content = json.dumps({"feedback": "", "winner": winner})
    return Reply(
        {
            "choices": [{"index": 0, "message": {"content": content}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 400, "completion_tokens": 20, "total_tokens": 420},
        }
    )


@pytest.fixture
def server():
    with LoopbackServer(answer) as running:
        yield running


def run(tmp_path, server, model, *words):
    pairs, prices = tmp_path / "pairs.jsonl", tmp_path / "prices.json"
    rows = [
        Preference(f"p{n}", "Do it.", f"chosen {n}", f"rejected {n}", problem_id=f"q{n}").to_row()
        for n in range(N)
    ]
    write_rows(pairs, rows)
    prices.write_text(json.dumps({"as_of": "today", "prices": PRICES}))
    fixed = ["pairs", "--data", pairs, "--out", tmp_path / "r", "--model", f"openai:{model}"]
    fixed += ["--base-url", f"{server.url}/v1", "--prices", prices]
    fixed += ["--cache", tmp_path / "answers.sqlite"]
    found = CliRunner().invoke(app, [str(word) for word in (*fixed, *words)])
    assert found.exit_code == 0, f"{found.output} {found.exception}"
    name = words[words.index("--name") + 1] if "--name" in words else f"openai-{model}"
    return tmp_path / "r" / f"pairs.{name}.json"


def test_cost_goes_from_the_servers_usage_to_table_plot_and_csv(tmp_path, server):
    paths = [run(tmp_path, server, model) for model in ("big", "small")]
    usage = read_result(paths[0])["usage"]
    assert usage["usd"] == pytest.approx(N * PER_1000["big"] / 1000)
    assert (usage["input_tokens"], usage["output_tokens"]) == (N * 2 * 400, N * 2 * 20)
    page = tmp_path / "board.html"
    words = [str(word) for word in (*paths, "--out", page)]
    found = CliRunner().invoke(report_app, ["leaderboard", *words])
    assert found.exit_code == 0, found.output
    rows = list(csv.DictReader(page.with_suffix(".csv").open()))
    costs = [float(row["usd_per_1000_pairs"]) for row in rows]
    assert costs == pytest.approx([PER_1000["big"], PER_1000["small"]])
    html = page.read_text()
    # Each mark is a number of the table beside the plot.
    row = (
        r'<th scope="row">(\d)\. openai:(\w+) \(structured\)</th><td>([\d.]+)</td><td>([\d.]+)</td>'
    )
    assert re.findall(row, html) == [("1", "big", "100.0", "2.4"), ("2", "small", "50.0", "0.12")]
    marks = re.findall(r"<title>openai:(\w+) \(structured\)</title>.*?<text[^>]*>(\d)</text>", html)
    assert marks == [("big", "1"), ("small", "2")]
    assert f'<td data-value="{costs[0]}">2.4</td>' in html


def test_a_reply_that_was_kept_costs_what_it_cost_but_is_not_paid_again(tmp_path, server):
    first = read_result(run(tmp_path, server, "big"))["usage"]
    again = read_result(run(tmp_path, server, "big", "--name", "again"))["usage"]
    assert len(server.calls) == 2 * N
    assert (first["usd_paid"], again["usd_paid"]) == (pytest.approx(first["usd"]), 0)
    assert again["usd"] == pytest.approx(first["usd"])
    # Half the replies in one order: half the cost for a pair, though nothing is paid.
    one = read_result(run(tmp_path, server, "big", "--name", "one", "--orders", "one"))["usage"]
    assert one["usd"] == pytest.approx(first["usd"] / 2)


def test_what_a_server_does_not_count_has_an_unknown_cost(tmp_path):
    def uncounted(call):
        reply = answer(call)
        del reply.body["usage"]
        return reply

    with LoopbackServer(uncounted) as server:
        usage = read_result(run(tmp_path, server, "big"))["usage"]
    assert (usage["usd"], usage["usd_paid"], usage["n_priced"]) == (None, None, 0)


def test_a_resumed_run_has_the_cost_of_all_its_pairs(tmp_path, server):
    path = run(tmp_path, server, "big", "--name", "whole")
    journal = tmp_path / "r" / "rows" / "pairs.whole.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[: N // 2]))
    before = read_result(path)["usage"]["usd"]
    assert read_result(run(tmp_path, server, "big", "--name", "whole"))["usage"]["usd"] == (
        pytest.approx(before)
    )


def test_a_cascade_of_two_paid_models_asks_the_costly_one_on_doubt_and_pays_both(tmp_path, server):
    """The small model says "tie" for the first three pairs, else it is right."""

    def doubting(call):
        reply = answer(call)
        text = call.body["messages"][-1]["content"]
        if call.body["model"] == "small":
            number = int(text.split("chosen ")[1][0])
            is_first = "chosen" in text.split("Program B:")[0]
            winner = "tie" if number < 3 else "A" if is_first else "B"
            content = json.dumps({"feedback": "", "winner": winner})
            reply.body["choices"][0]["message"]["content"] = content
        return reply

    server.handler = doubting
    words = ["--model", "cascade:openai:small,openai:big", "--name", "both"]
    result = read_result(run(tmp_path, server, "big", *words))
    models = [call.body["model"] for call in server.calls]
    assert (models.count("small"), models.count("big")) == (2 * N, 2 * 3)
    assert result["metrics"]["overall"]["accuracy"] == 1
    expected = (N * PER_1000["small"] + 3 * PER_1000["big"]) / 1000
    assert result["usage"]["usd"] == pytest.approx(expected)
    assert result["usage"]["usd_paid"] == pytest.approx(expected)
    asked = {name.split()[0]: n for name, n in result["usage"]["asked"].items()}
    assert asked == {"openai:small": 2 * N, "openai:big": 2 * 3}


def test_the_budget_of_two_models_is_one(tmp_path, server):
    jury = ["--model", "jury:openai:small,openai:big", "--name", "both"]
    # All replies cost 0.01512 dollars, those of either model alone less than 0.0145.
    one_by_one = ["--max-tokens", "20", "--concurrency", "1"]
    with pytest.raises(AssertionError, match="the budget is spent"):
        run(tmp_path, server, "big", *jury, "--budget-usd", "0.01", *one_by_one)
    assert 0.004 < read_spent(tmp_path / "r" / "rows" / "pairs.both.jsonl").usd <= 0.01


def test_a_batch_gives_the_same_verdicts_at_the_batch_price(tmp_path):
    online = tmp_path / "online"
    batch = tmp_path / "batch"
    for folder in (online, batch):
        folder.mkdir()
    with LoopbackServer(answer) as server:
        expected = read_result(run(online, server, "big"))
    service = PlayedBatches(answer)
    with LoopbackServer(service) as server:
        path = run(batch, server, "big", "--batch", "--no-wait")
        assert not path.exists()
        for _ in range(5):
            run(batch, server, "big", "--batch", "--no-wait")
    found = read_result(path)
    assert len(service.jobs) == 1 and service.n_answered == 2 * N
    assert found["metrics"] == expected["metrics"]
    assert found["usage"]["usd"] == pytest.approx(expected["usage"]["usd"] / 2)


def test_flags_of_batches_need_a_batch(tmp_path, server):
    with pytest.raises(AssertionError, match="belongs to --batch"):
        run(tmp_path, server, "big", "--no-wait")


def test_draws_are_asked_with_the_seed_of_the_run(tmp_path, server):
    run(tmp_path, server, "big", "--temperature", "0.7", "--seed", "7", "--name", "drawn")
    assert {call.body.get("seed") for call in server.calls} == {7}
    assert {call.body["temperature"] for call in server.calls} == {0.7}
    server.calls.clear()
    run(tmp_path, server, "big", "--name", "greedy")
    assert all("seed" not in call.body for call in server.calls)
