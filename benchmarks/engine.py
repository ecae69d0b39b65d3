"""What asking costs beside the model: CPU and memory per request, the journal, faults.

A fast server on loopback plays OpenAI in a process of its own; each client runs in a fresh
process, rounds are interleaved in random order, and CPU time is the client's own (user and
system). Competitors are measured where they are importable: install them from PyPI beside
this package, or name another environment's interpreter with --python NAME=PATH.

    python benchmarks/engine.py requests --rounds 3
    python benchmarks/engine.py memory
    python benchmarks/engine.py journal
    python benchmarks/engine.py faults
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PROMPT = "A line of a prompt that is about as long as the lines of real prompts are. " * 54  # 4 KB
CONCURRENCY = 256


def prompts(n: int) -> Iterator[str]:
    """n different prompts of 4 KB."""
    return (f"{i} {PROMPT}"[:4096] for i in range(n))


def run_engine(url: str, n: int, folder: Path) -> int:
    """This package, with limits, budget, cache and journal."""
    from codefavor.backends import make_backend
    from codefavor.engine import Budget, Context, Limits, Price, PriceTable, ResponseCache, run_sync
    from codefavor.journal import Journal

    async def step(row: dict[str, Any], context: Context) -> dict[str, Any]:
        response = await context.ask([{"role": "user", "content": row["q"]}])
        return {"id": row["id"], "answer": response.text}

    backend = make_backend("openai:m", base_url=f"{url}/v1", api_key="k")
    store = ResponseCache(folder / "answers.sqlite")
    prices = PriceTable({"openai:m": Price(1.0, 1.0)})
    rows = ({"id": str(i), "q": text} for i, text in enumerate(prompts(n)))
    with Journal.open(folder / "o.jsonl", {}) as journal:
        counts = run_sync(
            step,
            rows,
            journal,
            context=Context(backend, cache=store, prices=prices),
            concurrency=CONCURRENCY,
            limits=Limits(10**9, 10**12, 10**12),
            budget=Budget(usd=10**6, tokens=10**12),
        )
    store.close()
    return counts.n_ok


def run_raw_aiohttp(url: str, n: int, folder: Path) -> int:
    """The floor: aiohttp alone, nothing kept."""
    import aiohttp

    async def main() -> int:
        connector = aiohttp.TCPConnector(limit=CONCURRENCY)
        async with aiohttp.ClientSession(connector=connector) as session:
            texts, n_ok = prompts(n), 0

            async def work() -> None:
                nonlocal n_ok
                for text in texts:
                    body = {"model": "m", "messages": [{"role": "user", "content": text}]}
                    async with session.post(f"{url}/v1/chat/completions", json=body) as reply:
                        n_ok += "choices" in await reply.json()

            await asyncio.gather(*(work() for _ in range(CONCURRENCY)))
            return n_ok

    return asyncio.run(main())


def run_openai(url: str, n: int, folder: Path) -> int:
    """openai.AsyncClient, used plainly."""
    import openai

    async def ask(client: openai.AsyncOpenAI, text: str) -> int:
        messages: Any = [{"role": "user", "content": text}]
        reply = await client.chat.completions.create(model="m", messages=messages)
        return int(bool(reply.choices))

    async def main() -> int:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k") as client:
            return await _bounded(lambda text: ask(client, text), n)

    return asyncio.run(main())


def run_litellm(url: str, n: int, folder: Path) -> int:
    """litellm.acompletion."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it tries to fetch its prices
    import litellm

    async def ask(text: str) -> int:
        messages = [{"role": "user", "content": text}]
        reply = await litellm.acompletion(
            model="openai/m", messages=messages, api_base=f"{url}/v1", api_key="k"
        )
        return int(bool(reply.choices))

    return asyncio.run(_bounded(ask, n))


def run_curator(url: str, n: int, folder: Path) -> int:
    """bespokelabs-curator's LLM with its own store.

    Its tokenizer is downloaded when first used; counting characters instead is cheaper, so
    that this favours it.
    """
    os.environ["CURATOR_DISABLE_CACHE"] = "1"
    os.environ["CURATOR_CACHE_DIR"] = str(folder)
    import tiktoken
    from bespokelabs import curator

    class Characters:
        def encode(self, text: str, **_: Any) -> range:
            return range(len(text) // 4)

    tiktoken.get_encoding = lambda name: Characters()

    parameters = {
        "base_url": f"{url}/v1", "api_key": "k", "max_concurrent_requests": CONCURRENCY,
        "max_requests_per_minute": 10**7, "max_tokens_per_minute": 10**9,
    }  # fmt: skip
    model = curator.LLM(model_name="m", backend="openai", backend_params=parameters)
    return len(model(list(prompts(n))).dataset)


def run_inspect(url: str, n: int, folder: Path) -> int:
    """inspect_ai's model.generate."""
    from inspect_ai.model import GenerateConfig, get_model

    config = GenerateConfig(max_connections=CONCURRENCY)
    model = get_model(
        "openai/m", base_url=f"{url}/v1", api_key="k", config=config, responses_api=False
    )

    async def ask(text: str) -> int:
        return int(bool((await model.generate(text)).choices))

    return asyncio.run(_bounded(ask, n))


def run_distilabel(url: str, n: int, folder: Path) -> int:
    """distilabel's text generation pipeline."""
    from distilabel.models import OpenAILLM
    from distilabel.pipeline import Pipeline
    from distilabel.steps import LoadDataFromDicts
    from distilabel.steps.tasks import TextGeneration

    with Pipeline(cache_dir=folder) as pipeline:
        load = LoadDataFromDicts(data=[{"instruction": t} for t in prompts(n)], batch_size=256)
        llm = OpenAILLM(model="m", base_url=f"{url}/v1", api_key="k")
        load >> TextGeneration(llm=llm, input_batch_size=CONCURRENCY)
    return len(pipeline.run(use_cache=False)["default"]["train"])


CLIENTS: dict[str, Callable[[str, int, Path], int]] = {
    "codefavor": run_engine,
    "raw aiohttp": run_raw_aiohttp,
    "openai": run_openai,
    "litellm": run_litellm,
    "curator": run_curator,
    "inspect_ai": run_inspect,
    "distilabel": run_distilabel,
}


async def _bounded(ask: Callable[[str], Any], n: int) -> int:
    gate = asyncio.Semaphore(CONCURRENCY)

    async def one(text: str) -> int:
        async with gate:
            return int(await ask(text))

    return sum(await asyncio.gather(*(one(text) for text in prompts(n))))


def client_main(name: str, url: str, n: int) -> None:
    """Run one client in this process and print what it used, children included."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        n_ok = CLIENTS[name](url, n, Path(folder))
        wall = time.monotonic() - started
    cpu = peak = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        cpu += usage.ru_utime + usage.ru_stime
        peak = max(peak, usage.ru_maxrss / 1024)
    print(json.dumps({"ok": n_ok, "cpu_s": cpu, "peak_mb": peak, "wall_s": wall}))


class Server:
    """The loopback server, in its own process."""

    def __init__(self, *arguments: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        port = Path(self._folder.name) / "port"
        command = [sys.executable, "-m", "tests.kit.server", "--port-file", str(port)]
        self._process = subprocess.Popen(
            [*command, "--text", "An answer. " * 20, *arguments], cwd=ROOT
        )
        while not port.exists() or not port.read_text():
            time.sleep(0.02)
        self.url = f"http://127.0.0.1:{port.read_text()}"

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()


def measure(name: str, url: str, n: int, python: str) -> dict[str, Any] | None:
    """One run in a fresh process; None if the client is not installed there."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENAI_API_KEY": "k"}
    command = [python, str(Path(__file__)), "client", name, url, str(n)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT
    )
    if done.returncode != 0:
        if "ModuleNotFoundError" not in done.stderr:
            print(f"{name} failed:\n{done.stderr[-2000:]}", file=sys.stderr)
        return None
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    assert result["ok"] == n, (name, result)
    return result


def bench_requests(rounds: int, small: int, large: int, pythons: dict[str, str]) -> None:
    """CPU per request: the slope between two sizes, so that imports do not count."""
    found: dict[str, list[float]] = {}
    peaks: dict[str, float] = {}
    missing: set[str] = set()
    with Server() as server:
        for _ in range(rounds):
            names = [name for name in CLIENTS if name not in missing]
            random.shuffle(names)
            for name in names:
                python = pythons.get(name, sys.executable)
                ends = [measure(name, server.url, n, python) for n in (small, large)]
                if ends[0] is None or ends[1] is None:
                    missing.add(name)
                    continue
                slope = (ends[1]["cpu_s"] - ends[0]["cpu_s"]) / (large - small)
                found.setdefault(name, []).append(slope * 1e6)
                peaks[name] = ends[1]["peak_mb"]
    base = statistics.median(found["codefavor"])
    print(f"CPU per request, {small} to {large} requests of 4 KB, concurrency {CONCURRENCY}")
    for name, values in sorted(found.items(), key=lambda item: statistics.median(item[1])):
        middle = statistics.median(values)
        spread = f"{min(values):.0f}..{max(values):.0f}"
        print(f"{name:12} {middle:8.0f} us ({spread})  {middle / base:5.1f}x  {peaks[name]:.0f} MB")
    if missing:
        print(f"not installed: {', '.join(sorted(missing))}")


def bench_memory(small: int, large: int) -> None:
    """Peak memory of the engine at two sizes."""
    with Server() as server:
        peaks = [measure("codefavor", server.url, n, sys.executable) for n in (small, large)]
    assert peaks[0] is not None
    assert peaks[1] is not None
    first, second = peaks[0]["peak_mb"], peaks[1]["peak_mb"]
    print(
        f"peak memory: {first:.1f} MB at {small}, {second:.1f} MB at {large} requests "
        f"({100 * (second / first - 1):+.1f} %)"
    )


def bench_journal(n_write: int, n_scan: int) -> None:
    """Rows written per second with batched syncs, and the scan when a run resumes."""
    from codefavor.engine.rows_to_do import input_digest
    from codefavor.journal import Journal
    from codefavor.records import content_id

    digest = input_digest({"id": "0", "question": "x" * 1000})
    row = {"answer": "x" * 1000}
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
        path = Path(folder) / "o.jsonl"
        ids = [content_id(i) for i in range(n_scan)]
        with Journal.open(path, {}) as journal:
            started, cpu = time.monotonic(), time.process_time()
            for row_id in ids[:n_write]:
                journal.append({"id": row_id, "status": "ok", "input": digest, "row": row})
            journal.sync()
            wall, cpu = time.monotonic() - started, time.process_time() - cpu
            print(f"journal: {n_write / wall:,.0f} rows/s, {1e6 * cpu / n_write:.1f} us CPU a row")
            for row_id in ids[n_write:]:
                journal.append({"id": row_id, "status": "ok", "input": digest, "row": row})
        started, cpu = time.monotonic(), time.process_time()
        with Journal.open(path, {}) as journal:
            wall, cpu = time.monotonic() - started, time.process_time() - cpu
            assert ids[-1] in journal.done_ids()
        size = path.stat().st_size / 1e9
        print(f"resume: {n_scan:,} rows ({size:.2f} GB) in {wall:.1f} s ({cpu:.1f} s CPU)")


def bench_faults(n: int, rate: float) -> None:
    """Requests sent for n rows while this share of all exchanges fails."""
    from codefavor.backends import make_backend
    from codefavor.engine import Context, Limits, run_sync
    from codefavor.journal import Journal

    async def step(row: dict[str, Any], context: Context) -> dict[str, Any]:
        response = await context.ask([{"role": "user", "content": row["q"]}])
        return {"id": row["id"], "answer": response.text}

    with Server("--fault-rate", str(rate)) as server, tempfile.TemporaryDirectory() as folder:
        backend = make_backend("openai:m", base_url=f"{server.url}/v1", api_key="k", timeout_s=2)
        rows = ({"id": str(i), "q": text} for i, text in enumerate(prompts(n)))
        with Journal.open(Path(folder) / "o.jsonl", {}) as journal:
            counts = run_sync(
                step, rows, journal, context=Context(backend), concurrency=64,
                limits=Limits(backoff_s=0.02, max_backoff_s=0.5),
            )  # fmt: skip
    print(
        f"faults {rate:.0%}: {counts.n} rows, {counts.n_ok} ok, {counts.n_error} errors "
        f"{counts.reasons}, {counts.n_requests / n:.2f} requests a row"
    )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["requests", "memory", "journal", "faults", "client"])
    parser.add_argument("rest", nargs="*")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", type=int, default=400)
    parser.add_argument("--large", type=int, default=2000)
    parser.add_argument("--python", action="append", default=[], help="NAME=PATH of an interpreter")
    options = parser.parse_args()
    if options.what == "client":
        client_main(options.rest[0], options.rest[1], int(options.rest[2]))
    elif options.what == "requests":
        pythons = dict(pair.split("=", 1) for pair in options.python)
        bench_requests(options.rounds, options.small, options.large, pythons)
    elif options.what == "memory":
        bench_memory(20_000, 200_000)
    elif options.what == "journal":
        bench_journal(200_000, 1_000_000)
    else:
        bench_faults(options.large, 0.3)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
