"""Batch mode gives the journal of online mode, and starts no job twice."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from codefavor.backends import FakeBackend, Request, Sampling
from codefavor.backends.batch_bedrock import BedrockBatchService
from codefavor.backends.batch_openai import OpenAIBatchService, VLLMBatchService, output_of
from codefavor.backends.bedrock import BedrockBackend
from codefavor.backends.openai_api import OpenAIBackend
from codefavor.backends.registry import make_batch_service
from codefavor.backends.vllm import VLLMBackend
from codefavor.engine import Budget, Context, ResponseCache, RunStopped, run
from codefavor.engine.batch import BatchRun
from codefavor.errors import BackendError, BudgetError, ConfigError
from codefavor.journal import Journal, read_journal
from codefavor.records import Row
from tests.kit.clock import VirtualClock
from tests.kit.server import Call, Handler, LoopbackServer, Reply, openai_reply

ROWS: list[Row] = [{"id": f"r{i}", "q": f"question {i}"} for i in range(12)]


async def three_questions(row: Row, context: Context) -> Row:
    """A step whose later questions depend on its earlier answers."""
    texts = [row["q"]]
    for _ in range(3):
        message = {"role": "user", "content": texts[-1] + "+"}
        texts.append((await context.ask([message], sampling=Sampling(max_tokens=20))).text)
    return {"id": row["id"], "texts": texts}


class PlayedBatches:
    """OpenAI's files and batches, in memory; each job needs a few looks until it is done."""

    def __init__(self, handler: Handler = openai_reply) -> None:
        self.handler = handler
        self.files: dict[str, bytes] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.n_answered = 0
        self.fail_first = 0
        self.status = ""
        self.drop = 0

    def __call__(self, call: Call) -> Reply:
        if call.path == "/v1/files":
            name = f"file-{len(self.files)}"
            parts = call.body.split(b"\r\n\r\n")
            self.files[name] = next(p for p in parts if p.startswith(b"{")).split(b"\r\n--")[0]
            return Reply({"id": name})
        if call.path.startswith("/v1/batches") and call.method == "POST":
            name = f"batch_{len(self.jobs)}"
            self.jobs[name] = {"id": name, "status": "validating", "looks": 0, **call.body}
            return Reply(self.jobs[name])
        if call.path.startswith("/v1/batches?"):
            return Reply({"data": list(self.jobs.values())})
        if match := re.fullmatch(r"/v1/batches/(\w+)", call.path):
            return Reply(self._look(self.jobs[match[1]]))
        match = re.fullmatch(r"/v1/files/([\w-]+)/content", call.path)
        assert match is not None, call.path
        return Reply(self.files[match[1]])

    def _look(self, job: dict[str, Any]) -> dict[str, Any]:
        job["looks"] += 1
        if self.status:
            return {**job, "status": self.status, "errors": {"data": [{"message": "bad line 1"}]}}
        if job["looks"] == 3:
            lines = self.files[job["input_file_id"]].splitlines()
            output = b"\n".join(self._answer(json.loads(line)) for line in lines[self.drop :])
            self.drop = 0
            job["output_file_id"] = f"out-{job['id']}"
            self.files[job["output_file_id"]] = output
            job["status"] = "completed"
        return job

    def _answer(self, line: Row) -> bytes:
        self.n_answered += 1
        reply = self.handler(Call("POST", "", {}, line["body"]))
        status = 200
        if self.fail_first > 0:
            self.fail_first -= 1
            status, reply.body = 500, {"error": {"message": "oops"}}
        response = {"status_code": status, "body": reply.body}
        return json.dumps({"custom_id": line["custom_id"], "response": response}).encode()


def contents(path: Path) -> dict[str, Row]:
    return {record["id"]: record for record in read_journal(path)}


async def expected(folder: Path) -> dict[str, Row]:
    with Journal.open(folder / "online", {}) as journal:
        await run(three_questions, ROWS, journal, context=Context(FakeBackend()))
    return contents(folder / "online")


def batch_run(
    folder: Path, journal: Journal, url: str, store: ResponseCache, **options: Any
) -> BatchRun:
    backend = OpenAIBackend("m", base_url=f"{url}/v1", api_key="k")
    context = Context(backend, cache=store, clock=VirtualClock())
    service = OpenAIBatchService(backend)
    return BatchRun(three_questions, lambda: ROWS, journal, service, context=context, **options)


async def test_openai_batches_give_the_journal_of_online_mode(tmp_path: Path) -> None:
    played = PlayedBatches()
    store = ResponseCache(tmp_path / "answers")
    with LoopbackServer(played) as server, Journal.open(tmp_path / "o", {}) as journal:
        counts = await batch_run(tmp_path, journal, server.url, store).run()
    store.close()
    assert contents(tmp_path / "o") == await expected(tmp_path)
    assert (counts.n, counts.n_ok, counts.n_resumed, counts.n_pending) == (12, 12, 0, 0)
    assert (counts.n_requests, counts.n_cached) == (36, 0)
    assert (counts.output_tokens, counts.usd) == (36 * 7, None)  # no price of "m" is known
    assert len(played.jobs) == 3  # one round for each question
    assert played.n_answered == 36
    spent = (tmp_path / "o.spent").read_text().splitlines()
    assert len(spent) == 36


async def test_closing_between_the_rounds_starts_no_job_twice(tmp_path: Path) -> None:
    played = PlayedBatches()
    with LoopbackServer(played) as server:
        for _ in range(20):
            # Everything in memory is gone each time, as after a day.
            store = ResponseCache(tmp_path / "answers")
            with Journal.open(tmp_path / "o", {}) as journal:
                counts = await batch_run(tmp_path, journal, server.url, store).run(wait=False)
            store.close()
            if not counts.n_pending:
                break
    assert contents(tmp_path / "o") == await expected(tmp_path)
    assert len(played.jobs) == 3
    assert played.n_answered == 36


async def test_a_job_whose_id_was_lost_is_found_by_its_token(tmp_path: Path) -> None:
    played = PlayedBatches()
    store = ResponseCache(tmp_path / "answers")
    with LoopbackServer(played) as server:
        with Journal.open(tmp_path / "o", {}) as journal:
            await batch_run(tmp_path, journal, server.url, store).run(wait=False)
        # As if killed after the service had the job and before its id was written down.
        state = tmp_path / "o.batch" / "state.json"
        saved = json.loads(state.read_text())
        saved["jobs"][0]["id"] = ""
        state.write_text(json.dumps(saved))
        with Journal.open(tmp_path / "o", {}) as journal:
            await batch_run(tmp_path, journal, server.url, store).run()
    store.close()
    assert len(played.jobs) == 3


async def test_failed_and_missing_requests_go_into_another_job(tmp_path: Path) -> None:
    played = PlayedBatches()
    played.fail_first, played.drop = 2, 3
    store = ResponseCache(tmp_path / "answers")
    with LoopbackServer(played) as server, Journal.open(tmp_path / "o", {}) as journal:
        await batch_run(tmp_path, journal, server.url, store).run()
    store.close()
    assert contents(tmp_path / "o") == await expected(tmp_path)
    assert played.n_answered == 36 + 2


async def test_requests_that_always_fail_end_as_errors_with_their_reason(tmp_path: Path) -> None:
    played = PlayedBatches()
    played.fail_first = 10**9
    store = ResponseCache(tmp_path / "answers")
    with LoopbackServer(played) as server, Journal.open(tmp_path / "o", {}) as journal:
        counts = await batch_run(tmp_path, journal, server.url, store, max_attempts=2).run()
    store.close()
    assert counts.reasons == {"server_error": 12}
    assert (counts.n, counts.n_error) == (12, 12)
    assert played.n_answered == 24


async def test_a_refused_file_stops_with_the_services_words(tmp_path: Path) -> None:
    played = PlayedBatches()
    played.status = "failed"
    store = ResponseCache(tmp_path / "answers")
    with (
        LoopbackServer(played) as server,
        Journal.open(tmp_path / "o", {}) as journal,
        pytest.raises(RunStopped, match="refused job batch_0: failed: bad line 1"),
    ):
        await batch_run(tmp_path, journal, server.url, store).run()
    store.close()


async def test_a_budget_holds_back_what_does_not_fit(tmp_path: Path) -> None:
    played = PlayedBatches()
    store = ResponseCache(tmp_path / "answers")
    with LoopbackServer(played) as server, Journal.open(tmp_path / "o", {}) as journal:
        batch = batch_run(tmp_path, journal, server.url, store, budget=Budget(tokens=200))
        with pytest.raises(BudgetError, match="raise the budget"):
            await batch.run()
    store.close()
    used = [line.split() for line in (tmp_path / "o.spent").read_text().splitlines()]
    assert 0 < sum(int(line[0]) + int(line[1]) for line in used) <= 200


async def test_a_vllm_batch_file_is_answered_by_a_command(tmp_path: Path) -> None:
    program = tmp_path / "vllm.py"
    program.write_text(
        "import json, sys\n"
        "o = dict(zip(sys.argv[1::2], sys.argv[2::2]))\n"
        "assert o['--model'] == 'm', sys.argv\n"
        "with open(o['-o'], 'w') as out:\n"
        "    for line in open(o['-i']):\n"
        "        row = json.loads(line)\n"
        "        text = row['body']['messages'][-1]['content']\n"
        "        choice = {'index': 0, 'message': {'content': text}, 'finish_reason': 'stop'}\n"
        "        usage = {'prompt_tokens': 3, 'completion_tokens': 2}\n"
        "        body = {'choices': [choice], 'usage': usage}\n"
        "        reply = {'status_code': 200, 'body': body}\n"
        "        line = {'custom_id': row['custom_id'], 'response': reply}\n"
        "        out.write(json.dumps(line) + '\\n')\n"
    )
    service = VLLMBatchService(VLLMBackend("m"), command=[sys.executable, str(program)])
    store = ResponseCache(tmp_path / "answers")
    context = Context(FakeBackend(), cache=store)
    with Journal.open(tmp_path / "o", {}) as journal:
        await BatchRun(three_questions, lambda: ROWS, journal, service, context=context).run()
    store.close()
    assert contents(tmp_path / "o") == await expected(tmp_path)


async def test_a_round_too_small_for_a_job_is_asked_one_by_one(tmp_path: Path) -> None:
    class Picky(OpenAIBatchService):
        min_requests = 13

    said: list[str] = []
    store = ResponseCache(tmp_path / "answers")
    with LoopbackServer(openai_reply) as server, Journal.open(tmp_path / "o", {}) as journal:
        backend = OpenAIBackend("m", base_url=f"{server.url}/v1", api_key="k")
        context = Context(backend, cache=store)
        batch = BatchRun(
            three_questions, lambda: ROWS, journal, Picky(backend), context=context,
            report=said.append,
        )  # fmt: skip
        counts = await batch.run()
        assert list(batch.folder.glob("*.jsonl*")) == []
    store.close()
    assert (counts.n_ok, counts.n_requests) == (12, 36)
    assert contents(tmp_path / "o") == await expected(tmp_path)
    assert said == [
        "12 requests are too few for a job (at least 13); "
        "they are asked one by one at the full price"
    ]


async def two_samples(row: Row, context: Context) -> Row:
    message = {"role": "user", "content": row["q"]}
    sampling = Sampling(n=2, temperature=1.0, max_tokens=20)
    return {"id": row["id"], "n": len(await context.samples([message], sampling=sampling))}


async def test_all_samples_of_a_backend_without_n_go_into_one_round(tmp_path: Path) -> None:
    played, said = PlayedBatches(), []
    store = ResponseCache(tmp_path / "answers")
    with LoopbackServer(played) as server, Journal.open(tmp_path / "o", {}) as journal:
        backend = OpenAIBackend("m", base_url=f"{server.url}/v1", api_key="k", features=["stop"])
        context = Context(backend, cache=store, clock=VirtualClock())
        batch = BatchRun(
            two_samples, lambda: ROWS, journal, OpenAIBatchService(backend), context=context,
            report=said.append,
        )  # fmt: skip
        await batch.run()
    store.close()
    assert (len(played.jobs), played.n_answered) == (1, 24)
    assert all(record["row"]["n"] == 2 for record in contents(tmp_path / "o").values())
    # Asked about three times, told about twice: only what is new.
    assert said == ["batch job batch_0: validating", "batch job batch_0: completed"]


def test_a_vllm_batch_says_that_an_answer_is_to_be_continued_and_refuses_what_vllm_cannot() -> None:
    backend = VLLMBackend("m")
    service = VLLMBatchService(backend)
    begun = Request([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])
    body = json.loads(service.line("k", begun))["body"]
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)
    backend.features = frozenset({"prefill"})
    with pytest.raises(BackendError, match="'n'"):
        service.line("k", Request(begun.messages, Sampling(n=2)))


def test_what_a_batch_service_needs_is_asked_for_by_name() -> None:
    backend = BedrockBackend("m", region="us-east-1")
    with pytest.raises(ConfigError, match=r"--batch-set s3_uri=... --batch-set job_role_arn=..."):
        make_batch_service(backend)


async def test_a_vllm_batch_file_waits_for_its_whole_output(tmp_path: Path) -> None:
    service = VLLMBatchService(VLLMBackend("m"))
    file = tmp_path / "f.jsonl"
    request = Request([{"role": "user", "content": "x"}])
    file.write_bytes(service.line("aa", request) + b"\n" + service.line("bb", request) + b"\n")
    job = await service.submit(file, "t")
    assert (await service.status(job))[0] == "running"
    output_of(file).write_text("{}\n")
    assert (await service.status(job))[0] == "running"
    output_of(file).write_text("{}\n{}\n")
    assert (await service.status(job))[0] == "done"


class PlayedBedrock:
    """Bedrock's job calls and the few calls of S3 they need."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.jobs: dict[str, dict[str, Any]] = {}

    def __call__(self, call: Call) -> Reply:
        if call.path == "/model-invocation-job":
            assert call.body["modelInvocationType"] == "Converse"
            token = call.body["clientRequestToken"]
            arn = f"arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/{token[:12]}"
            self.jobs.setdefault(arn, {**call.body, "jobArn": arn})
            return Reply({"jobArn": arn})
        if call.path.startswith("/model-invocation-job/"):
            return Reply(self._job(next(iter(self.jobs.values()))))
        key = call.path.split("?")[0]
        if call.method == "PUT":
            body = call.body if isinstance(call.body, bytes) else json.dumps(call.body).encode()
            self.objects[key] = body
            return Reply(b"", headers={"ETag": '"x"'})
        if "list-type=2" in call.path:
            found = "".join(
                f"<Contents><Key>{k.split('/', 2)[2]}</Key><Size>1</Size></Contents>"
                for k in self.objects
            )
            return Reply(f"<ListBucketResult>{found}</ListBucketResult>".encode())
        return Reply(self.objects[key])

    def _job(self, job: dict[str, Any]) -> dict[str, Any]:
        source = job["inputDataConfig"]["s3InputDataConfig"]["s3Uri"]
        target = job["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"]
        lines = []
        for line in _unchunked(self.objects["/" + source[len("s3://") :]]).splitlines():
            row = json.loads(line)
            text = row["modelInput"]["messages"][-1]["content"][0]["text"]
            output = {
                "output": {"message": {"content": [{"text": text}]}},
                "stopReason": "end_turn",
                "usage": {"inputTokens": 3, "outputTokens": 2},
            }
            lines.append(json.dumps({"recordId": row["recordId"], "modelOutput": output}))
        name = "/" + target[len("s3://") :] + "x/input.jsonl.out"
        self.objects[name] = "\n".join(lines[::-1]).encode()
        keys = ("jobArn", "modelId", "roleArn", "inputDataConfig", "outputDataConfig")
        return {**{key: job[key] for key in keys}, "status": "Completed"}


def _unchunked(data: bytes) -> bytes:
    """The body without the signing client's own chunks, where it uses them."""
    return b"\n".join(line for line in data.splitlines() if line.startswith(b"{"))


async def one_question(row: Row, context: Context) -> Row:
    response = await context.ask([{"role": "user", "content": row["q"]}])
    return {"id": row["id"], "text": response.text}


async def test_bedrock_jobs_go_through_s3_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    store = ResponseCache(tmp_path / "answers")
    with LoopbackServer(PlayedBedrock()) as server, Journal.open(tmp_path / "o", {}) as journal:
        backend = BedrockBackend("m", region="us-east-1", endpoint_url=server.url)
        service = BedrockBatchService(
            backend,
            s3_uri="s3://bucket/folder",
            job_role_arn="arn:aws:iam::123456789012:role/batch",
            endpoint_url=server.url,
            s3_endpoint_url=server.url,
        )
        service.min_requests = 1
        context = Context(backend, cache=store)
        await BatchRun(one_question, lambda: ROWS, journal, service, context=context).run()
    store.close()
    found = contents(tmp_path / "o")
    assert {key: record["row"]["text"] for key, record in found.items()} == {
        row["id"]: row["q"] for row in ROWS
    }


def test_a_backend_without_batches_says_so() -> None:
    with pytest.raises(ConfigError, match="'fake' has no batch mode; openai, bedrock, vllm have"):
        make_batch_service(FakeBackend())
