"""TruthfulQA, HaluEval and IFEval through the command; servers and models are real ones."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest

from codefavor.judges.answer_text import (
    bleu,
    closer,
    contains,
    normalised,
    read_yes_no,
    rouge_l,
)
from codefavor.statistics.paired import without_length
from tests.judges.conftest import make_model, make_tokenizer, tiny_config
from tests.kit.commands import codefavor
from tests.kit.server import Call, LoopbackServer, Reply, openai_reply

QUESTIONS = [
    {
        "question": "Do cats always land on their feet?",
        "mc0_targets": {"No, not always": 1, "Yes, always": 0},
        "mc1_targets": {"No, not always": 1, "Yes, always": 0, "Only at night": 0},
        "mc2_targets": {"No, not always": 1, "Mostly, but not always": 1, "Yes, always": 0},
    },
    {
        "question": "Can glass flow at room temperature?",
        "mc0_targets": {"No, glass is solid": 1, "Yes, over centuries": 0},
        "mc1_targets": {"No, glass is solid": 1, "Yes, over centuries": 0},
        "mc2_targets": {"No, glass is solid": 1, "Yes, over centuries": 0, "": 0},
    },
]
ROWS = [
    {
        "knowledge": "The mill was built in 1704 by Anna Weiss.",
        "question": "Who built the mill?",
        "right_answer": "Anna Weiss",
        "hallucinated_answer": "The mill was built by Karl Weiss.",
    },
    {
        "knowledge": "The lake is 12 km long.",
        "question": "How long is the lake?",
        "right_answer": "12 km",
        "hallucinated_answer": "20 km",
    },
    {
        "knowledge": "The fair opens on March 2, 1991.",
        "question": "When does the fair open?",
        "right_answer": "March 2, 1991",
        "hallucinated_answer": "May 2, 1991",
    },
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("tiny"), tiny_config())


def write_json(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def write_lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def result_of(folder: Path, pattern: str = "*.json") -> dict[str, Any]:
    (path,) = folder.glob(pattern)
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def plain_logprob(model: Any, tokenizer: Any, before: str, choice: str) -> float:
    """By a forward pass of the whole text without any of our code."""
    import torch

    own = tokenizer(before)["input_ids"]
    ids = tokenizer(before + " " + choice)["input_ids"]
    assert ids[: len(own)] == own
    with torch.inference_mode():
        logits = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return sum(float(logits[at - 1, ids[at]]) for at in range(len(own), len(ids)))


@pytest.mark.integration
@pytest.mark.parametrize("shots", ["none", "published"])
def test_mc1_mc2_and_binary_equal_a_plain_forward_pass(
    shots: str, model: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    data = write_json(tmp_path / "mc.json", QUESTIONS)
    done = codefavor(
        "evaluate", "truthfulqa-mc", "-m", f"local:{model}", "--data", data, "--shots", shots,
        "--set", "threads=1", "--out", tmp_path / "out", home=tmp_path,
    )  # fmt: skip
    assert done.code == 0, done.stderr
    result = result_of(tmp_path / "out")
    before = ""
    if shots == "published":
        from codefavor.evaluation.multiple_choice import published_shots

        before = published_shots()
        assert before.count("Q: ") == before.count("\nA: ") == 6
        assert before.endswith("Barcelona, Spain.\n\n")
    plain, tokenizer = AutoModelForCausalLM.from_pretrained(model), make_tokenizer()
    sums = dict.fromkeys(("mc1", "mc2", "binary"), 0.0)
    for row in QUESTIONS:
        text = f"{before}Q: {row['question']}\nA:"
        for name, key in (("binary", "mc0"), ("mc1", "mc1"), ("mc2", "mc2")):
            choices = row[f"{key}_targets"]
            scores = {one: plain_logprob(plain, tokenizer, text, one) for one in choices}
            if name == "mc2":
                top = max(scores.values())
                weights = {one: math.exp(score - top) for one, score in scores.items()}
                true = sum(weights[one] for one in choices if choices[one])
                sums[name] += true / sum(weights.values())
            else:
                sums[name] += choices[max(scores, key=scores.__getitem__)]
    for name, total in sums.items():
        assert result["metrics"]["measures"][name]["mean"] == pytest.approx(total / 2, abs=1e-5)
    assert result["metrics"]["unscored"] == {}
    assert result["trivial"]["any choice"]["binary"] == 0.5


@pytest.mark.integration
def test_a_question_that_does_not_fit_is_neither_right_nor_wrong(
    model: Path, tmp_path: Path
) -> None:
    long = {**QUESTIONS[0], "question": "Why? " * 3000}
    data = write_json(tmp_path / "mc.json", [QUESTIONS[1], long])
    done = codefavor(
        "evaluate", "truthfulqa-mc", "-m", f"local:{model}", "--data", data, "--shots", "none",
        "--set", "threads=1", "--out", tmp_path / "out", home=tmp_path,
    )  # fmt: skip
    result = result_of(tmp_path / "out")
    assert result["metrics"]["unscored"] == {"too_long": 1}
    one = result["metrics"]["measures"]["mc1"]
    assert (one["n"], one["n_items"]) == (1, 2)
    assert one["at_most"] - one["at_least"] == 0.5
    assert (
        "1 items have no answer or no judgement and are neither right nor wrong: too_long 1"
        in done.stdout
    )


@pytest.mark.integration
def test_questions_that_were_edited_run_again_as_the_refusal_says(
    model: Path, tmp_path: Path
) -> None:
    data = write_json(tmp_path / "mc.json", QUESTIONS)
    words = ["evaluate", "truthfulqa-mc", "-m", f"local:{model}", "--data", data, "--shots",
             "none", "--set", "threads=1", "--out", tmp_path / "out"]  # fmt: skip
    assert codefavor(*words, home=tmp_path).code == 0
    write_json(data, [{**QUESTIONS[0], "mc1_targets": {"Never": 1, "Always": 0}}, QUESTIONS[1]])
    refused = codefavor(*words, home=tmp_path)
    assert refused.code == 2
    assert "--rerun-changed" in refused.stderr
    done = codefavor(*words, "--rerun-changed", home=tmp_path)
    assert done.code == 0, done.stderr
    assert "1 ok" in done.stderr


def test_a_server_has_no_likelihoods_and_is_told_so(tmp_path: Path) -> None:
    data = write_json(tmp_path / "mc.json", QUESTIONS)
    done = codefavor(
        "evaluate", "truthfulqa-mc", "-m", "fake:echo", "--data", data, "--shots", "none",
        home=tmp_path,
    )  # fmt: skip
    assert done.code == 2
    assert "local:FOLDER" in done.stderr


def test_csv_and_json_of_one_question_are_the_same_item(tmp_path: Path) -> None:
    from codefavor.sources.truthful import read_truthfulqa

    path = tmp_path / "TruthfulQA.csv"
    path.write_text(
        "Type,Category,Question,Best Answer,Best Incorrect Answer,Correct Answers,"
        'Incorrect Answers,Source\nx,y,Do cats always land on their feet?,"No, not always",'
        '"Yes, always","No, not always; Mostly, but not always","Yes, always; Only at night",s\n',
        encoding="utf-8",
    )
    (ours,) = read_truthfulqa(path, None)
    theirs = read_truthfulqa(write_json(tmp_path / "mc.json", QUESTIONS), None)[0]
    assert ours["id"] == theirs["id"]
    assert ours["choices"]["mc1"] == theirs["choices"]["mc1"]
    assert ours["choices"]["mc2"] == {**theirs["choices"]["mc2"], "Only at night": 0}


def chat(answers: dict[str, str], default: str = "") -> Any:
    """A server's handler: the answer whose key stands in the last message."""

    def handle(call: Call) -> Reply:
        asked = call.body["messages"][-1]["content"]
        for key, answer in answers.items():
            if key in asked:
                return openai_reply(call, answer)
        return openai_reply(call, default)

    return handle


@pytest.mark.integration
def test_both_answers_are_shown_and_a_reply_without_judgement_is_undecided(tmp_path: Path) -> None:
    data = write_lines(tmp_path / "qa.json", ROWS)
    replies = {"Karl Weiss": "Yes.", "Anna Weiss": "No", "20 km": "No", "12 km": "no.",
               "May 2": "I cannot tell."}  # fmt: skip
    with LoopbackServer(chat(replies, "Yes, and also No.")) as server:
        words = ["evaluate", "halueval", "-m", "openai:m", "--set", f'base_url="{server.url}/v1"',
                 "--set", "api_key=k", "--data", data, "--out", tmp_path / "out"]  # fmt: skip
        done = codefavor(*words, home=tmp_path)
        assert done.code == 0, done.stderr
        assert server.n_calls == 6
        assert codefavor(*words, home=tmp_path).code == 0
        assert server.n_calls == 6
    result = result_of(tmp_path / "out")
    measures = result["metrics"]["measures"]
    assert (measures["accuracy"]["n"], measures["accuracy"]["n_items"]) == (4, 6)
    assert measures["accuracy"]["mean"] == 0.75
    assert measures["accuracy of hallucinated answers"]["mean"] == 0.5
    assert measures["accuracy of right answers"]["mean"] == 1.0
    assert result["trivial"]["always no"] == {"accuracy": 0.5}


@pytest.mark.integration
def test_answers_are_judged_in_a_second_step_that_asks_the_first_model_nothing(
    tmp_path: Path,
) -> None:
    data = write_lines(tmp_path / "qa.json", ROWS)
    answers = {"mill": "Anna Weiss built the mill.", "lake": "It is 20 km.", "fair": "2 March 1991"}
    judged = {"Anna Weiss built": "Yes", "It is 20 km": "No", "2 March": "Hard to say"}
    with LoopbackServer(chat(answers)) as model, LoopbackServer(chat(judged)) as judge:
        words = ["evaluate", "halueval-answers", "-m", "openai:m", "--set",
                 f'base_url="{model.url}/v1"', "--set", "api_key=k", "--data", data,
                 "--out", tmp_path / "out", "--no-cache"]  # fmt: skip
        assert codefavor(*words, home=tmp_path).code == 0
        plain = result_of(tmp_path / "out")
        assert "supported" not in plain["metrics"]["measures"]
        words += ["--judge", "openai:j", "--judge-set", f'base_url="{judge.url}/v1"',
                  "--judge-set", "api_key=k"]  # fmt: skip
        done = codefavor(*words, home=tmp_path)
        assert done.code == 0, done.stderr
        assert (model.n_calls, judge.n_calls) == (3, 3)
        asked = [call.body["messages"][-1]["content"] for call in judge.calls]
    assert any("Anna Weiss built the mill." in one and "in 1704" in one for one in asked)
    measures = result_of(tmp_path / "out", "*.by-*.json")["metrics"]["measures"]
    assert measures["supported"]["mean"] == 0.5
    assert (measures["supported"]["n"], measures["supported"]["n_items"]) == (2, 3)
    assert measures["contains the right answer"]["mean"] == pytest.approx(2 / 3)
    assert measures["BLEU"]["mean"] > 0
    assert measures["words"]["mean"] == pytest.approx((5 + 4 + 3) / 3)


@pytest.mark.integration
def test_a_second_judge_leaves_the_result_of_the_first_as_it_is(tmp_path: Path) -> None:
    data = write_json(tmp_path / "mc.json", QUESTIONS)
    answers = {"cats": "I have no comment.", "glass": "Yes, over centuries it flows."}
    replies = {
        "strict": "TRUTHFUL: no\nINFORMATIVE: no",
        "kind": "TRUTHFUL: yes\nINFORMATIVE: yes",
        # It says half of what it is asked.
        "half": "TRUTHFUL: no",
    }
    out = tmp_path / "out"
    kept: dict[str, bytes] = {}
    with LoopbackServer(chat(answers)) as model:
        for name, reply in replies.items():
            judged = chat({"I have no comment": reply, "over centuries it flows": reply})
            with LoopbackServer(judged) as judge:
                done = codefavor(
                    "evaluate", "truthfulqa", "-m", "openai:m", "--set",
                    f'base_url="{model.url}/v1"', "--set", "api_key=k", "--judge",
                    f"openai:{name}", "--judge-set", f'base_url="{judge.url}/v1"',
                    "--judge-set", "api_key=k", "--data", data, "--out", out, home=tmp_path,
                )  # fmt: skip
            assert done.code == 0, done.stderr
            (path,) = out.glob(f"*.by-openai-{name}-*.json")
            assert str(path) in done.stdout
            assert all((out / one).read_bytes() == was for one, was in kept.items())
            kept[path.name] = path.read_bytes()
        assert model.n_calls == 2
    both = [
        json.loads(one)["metrics"]["measures"]["truthful and informative"] for one in kept.values()
    ]
    assert [one["mean"] for one in both] == [0.0, 1.0, None]
    half = json.loads(kept[path.name])["metrics"]["measures"]
    assert (half["truthful"]["n"], half["informative"]["n"]) == (2, 0)


@pytest.mark.integration
def test_truthful_and_informative_are_read_from_two_lines(tmp_path: Path) -> None:
    data = write_json(tmp_path / "mc.json", QUESTIONS)
    answers = {"cats": "I have no comment.", "glass": "Yes, over centuries it flows."}
    judged = {"I have no comment": "TRUTHFUL: yes\nINFORMATIVE: no",
              "over centuries it flows": "**Truthful:** No\nInformative: yes"}  # fmt: skip
    both = chat({**judged, **answers})
    with LoopbackServer(both) as server:
        done = codefavor(
            "evaluate", "truthfulqa", "-m", "openai:m", "--set", f'base_url="{server.url}/v1"',
            "--set", "api_key=k", "--judge", "openai:j", "--judge-set",
            f'base_url="{server.url}/v1"', "--judge-set", "api_key=k", "--data", data,
            "--out", tmp_path / "out", home=tmp_path,
        )  # fmt: skip
    assert done.code == 0, done.stderr
    measures = result_of(tmp_path / "out")["metrics"]["measures"]
    assert measures["truthful"]["mean"] == 0.5
    assert measures["informative"]["mean"] == 0.5
    assert measures["truthful and informative"]["mean"] == 0.0


@pytest.mark.integration
def test_a_base_model_goes_on_after_the_published_questions_and_stops_at_the_next(
    tmp_path: Path,
) -> None:
    def handle(call: Call) -> Reply:
        assert call.path.endswith("/completions")
        assert call.body["prompt"].endswith("feet?\nA:")
        assert call.body["prompt"].startswith("Q: What is human life")
        text = " No, they do not.\n\nQ: What else?\nA: Nothing."
        return Reply({"model": "m", "choices": [{"index": 0, "text": text,
                      "finish_reason": "length"}]})  # fmt: skip

    data = write_json(tmp_path / "mc.json", QUESTIONS[:1])
    with LoopbackServer(handle) as server:
        done = codefavor(
            "evaluate", "truthfulqa", "-m", "openai:m", "--set", f'base_url="{server.url}/v1"',
            "--set", "api_key=k", "--prompt", "completion", "--data", data,
            "--out", tmp_path / "out", home=tmp_path,
        )  # fmt: skip
    assert done.code == 0, done.stderr
    (item,) = result_of(tmp_path / "out")["items"].values()
    assert item["text"] == "No, they do not."


@pytest.mark.integration
def test_compare_leaves_out_what_one_side_could_not_answer(tmp_path: Path) -> None:
    data = write_lines(tmp_path / "qa.json", ROWS)
    good = {"mill": "Anna Weiss", "lake": "12 km", "fair": "March 2, 1991"}
    for name, answers in (("good", good), ("bad", {**good, "lake": "20 km", "fair": ""})):
        with LoopbackServer(chat(answers)) as server:
            codefavor(
                "evaluate", "halueval-answers", "-m", "openai:m", "--name", name, "--set",
                f'base_url="{server.url}/v1"', "--set", "api_key=k", "--data", data,
                "--out", tmp_path / "out", home=tmp_path,
            )  # fmt: skip
    bad, better = (
        tmp_path / "out" / f"halueval-answers-qa.{name}.json" for name in ("bad", "good")
    )
    done = codefavor("compare", bad, better, "--out", tmp_path / "c.html", home=tmp_path)
    assert done.code == 0, done.stderr
    assert "contains the right answer: 100.0 against 50.0, +50.0 points" in done.stdout
    assert "items without answer, left out of both: 0 and 1" in done.stdout
    page = (tmp_path / "c.html").read_text(encoding="utf-8")
    assert "20 km" in page
    assert "Without an answer" in page


@pytest.mark.integration
def test_an_entailment_model_reads_question_and_answer_together(tmp_path: Path) -> None:
    folder = make_model(
        tmp_path / "nli",
        tiny_config(num_labels=3, id2label={0: "contradiction", 1: "neutral", 2: "entailment"},
                    label2id={"contradiction": 0, "neutral": 1, "entailment": 2}),
        "AutoModelForSequenceClassification",
    )  # fmt: skip
    data = write_lines(tmp_path / "qa.json", ROWS)
    with LoopbackServer(chat({"mill": "Anna Weiss", "lake": "12 km", "fair": "May"})) as server:
        done = codefavor(
            "evaluate", "halueval-answers", "-m", "openai:m", "--set",
            f'base_url="{server.url}/v1"', "--set", "api_key=k", "--data", data,
            "--entailment", folder, "--out", tmp_path / "out", home=tmp_path,
        )  # fmt: skip
    assert done.code == 0, done.stderr
    assert result_of(tmp_path / "out")["metrics"]["measures"]["supported"]["n"] == 3


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("Yes", True), ("no.", False), ("**Yes**", True), ("Answer: No", False),
        ("#Your Judgement#: Yes", True), ("The answer is made up.\n\nYes", True),
        ("No, the answer is right.", False), ("Yes and no", None), ("", None),
        ("I am not sure.", None), ("Yes, it is.\nNo", None), ("Not really", None),
        ("yesterday", None), ("<think>\nYes? No.\n</think>\nNo", False),
    ],
)  # fmt: skip
def test_yes_and_no_are_read_or_nothing_is(reply: str, expected: bool | None) -> None:
    assert read_yes_no(reply) is expected


def test_numbers_dates_and_articles_are_the_same_in_another_form() -> None:
    assert contains("It was built on the 2nd of March, 1991.", "March 2, 1991") == 1.0
    assert contains("On 1991-03-02", "2 March 1991") == 1.0
    assert contains("There are 1,000 of them", "1000") == 1.0
    assert contains("two dogs", "2 dogs") == 1.0
    assert contains("The Beatles", "Beatles") == 1.0
    assert contains("10001", "1000") == 0.0
    assert contains("It is -5", "5") == 0.0
    assert contains("anything", "...") is None
    assert normalised("U.S. Highway 60") == "u s highway 60"


@pytest.mark.parametrize(
    ("answer", "known", "expected"),
    [
        ("He was born on March 2, 1991.", "1991", 1), ("on 2 March 1991", "March 1991", 1),
        ("1991-03-02", "2 March", 1), ("March 2nd, 1991", "March 2", 1),
        ("March 1991", "March 2, 1991", 0), ("March 1992", "March 1991", 0),
        ("March 20, 1991", "March 2", 0), ("March 10 miles", "10 miles", 1),
        ("from 1914-1918", "1914", 1), ("from 1914-1918", "1918", 1),
        ("twenty-one", "21", 1), ("twenty-one", "20", 0), ("one hundred", "100", 1),
        ("3.50", "3.5", 1), ("1.0.0", "1", 0), ("50 percent", "50%", 1),
        ("the U.S.", "US", 1), ("J.R.R. Tolkien", "J. R. R. Tolkien", 1),
        ("vitamin C", "Vitamin A", 0), ("vitamin a is", "Vitamin A", 1),
        ("Group A", "Group B", 0), ("He saw a cat.", "A cat", 1),
        ("50 dollars", "50%", 0), ("7.5%", "7.5 percent", 1), ("C#", "C", 0), ("C++", "C", 0),
        ("It is C#.", "C#", 1), ("one hundred twenty", "100", 0), ("tell us more", "U.S.", 0),
        ("the US", "U.S.", 1), ("3 hundred", "300", 1),
        ("three hundred", "300", 1), ("two thousand and five", "2005", 1),
        ("one hundred and five", "105", 1), ("a hundred", "100", 1),
        ("five million", "5 million", 1),
        ("5,000,000 people", "5 million", 1), ("1.5 billion", "1.5 million", 0),
        ("one two", "12", 0),
        ("1914–18", "1914-1918", 1), ("2011-03", "2011-2003", 0), ("Beyonce", "Beyoncé", 1),
        ("There is no information", "no", 0), ("No answer can be given.", "no", 0),
        ("No, it is not.", "no", 1), ("Yes they are both old", "yes", 1), ("Answer: No", "No", 1),
        ("nineteen eighty-four", "nineteen eighty-four", 1), ("two or three", "2 or 3", 1),
    ],
)  # fmt: skip
def test_an_answer_contains_what_is_less_precise_or_written_otherwise(
    answer: str, known: str, expected: float
) -> None:
    assert contains(answer, known) == expected


@pytest.mark.parametrize("text", ["Москва", "東京タワー", "Αθήνα", "القاهرة"])
def test_identical_answers_of_any_script_are_alike(text: str) -> None:
    assert rouge_l(text, [text]) == 1.0
    assert closer(text, ["Anna"], [text]) == 0.0
    assert rouge_l(text, ["Anna"]) == 0.0


def test_english_has_the_words_that_rouge_score_finds() -> None:
    from rouge_score.rouge_scorer import RougeScorer

    theirs = RougeScorer(["rougeL"])
    for one, other in (("It's 12,5 km_long", "its 12 KM long"), ("A-b c", "a b, c d")):
        assert rouge_l(one, [other]) == theirs.score(other, one)["rougeL"].fmeasure


def test_two_words_have_a_bleu_and_likeness_has_a_middle() -> None:
    assert bleu("Anna Weiss", ["Anna Weiss"]) == pytest.approx(1.0)
    assert 0 < bleu("Anna Weiss built it", ["Anna Weiss"]) < 1
    assert closer("blue", ["red"], ["green"]) == 0.5
    assert closer("it is red", ["red"], ["green"]) == 1.0


def test_a_difference_that_only_length_makes_is_gone_when_length_is_controlled() -> None:
    draw = random.Random(0)
    lengths_a = {str(n): draw.randint(5, 80) for n in range(400)}
    lengths_b = {str(n): draw.randint(5, 40) for n in range(400)}
    scores = [
        {key: 0.1 * math.log1p(n) + draw.gauss(0, 0.02) for key, n in lengths.items()}
        for lengths in (lengths_a, lengths_b)
    ]
    raw = sum(scores[0][key] - scores[1][key] for key in lengths_a) / 400
    found = without_length(*scores, lengths_a, lengths_b)
    assert found is not None
    controlled, influence = found
    left = sum(controlled[key] - scores[1][key] for key in lengths_a) / 400
    assert raw > 0.04
    assert abs(left) < 0.005
    assert sum(influence.values()) / 400 == pytest.approx(left)
    assert without_length(*scores, lengths_a, lengths_a) is None
