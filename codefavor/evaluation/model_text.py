"""A model's result for a terminal, each number with what it rests on; pure."""

from __future__ import annotations

from codefavor.evaluation.result_text import percent
from codefavor.records import Row


def model_text(result: Row) -> str:
    """The result for a terminal, each number with what it rests on."""
    metrics, usage = result["metrics"], result["usage"]
    n, n_problems = metrics["n_samples"], metrics["n_problems"]
    n_in_set = result.get("n_in_set", n_problems)
    part = f"only {n_problems} of the set's {n_in_set}" if n_in_set > n_problems else n_problems
    lines = [
        f"{result['benchmark']}: {result['model']['name']}, {part} problems, "
        f"{n} samples ({', '.join(f'{k} {v}' for k, v in result['settings'].items())})",
        f"licence of the problems: {result['license']}",
    ]
    for k, one in metrics["pass_at_k"].items():
        low, high = (percent(one[end]) for end in ("low", "high"))
        lines.append(f"pass@{k:<4}{percent(one['mean']):>6}   95 % interval {low} to {high}")
    lines.append(f"solved at least once: {metrics['n_solved']} of {metrics['n_problems']}")
    lines.append(f"parses: {percent(metrics['parse_rate'])} % of {metrics['n_answered']} samples")
    for title, kind in (("outcomes", "outcomes"), ("failures", "failures")):
        counts = ", ".join(f"{name} {count}" for name, count in metrics[kind].items())
        lines.append(f"{title}: {counts or 'none'}")
    if n_together := metrics.get("n_together"):
        lines.append(f"{n_together} samples rest on tests of the together lane: forgeable")
    if cases := metrics.get("cases"):
        by_problem = cases["by_problem"]
        slowest = max(by_problem, key=lambda name: by_problem[name]["cpu_s_most"])
        largest = max(by_problem, key=lambda name: by_problem[name]["peak_bytes_most"])
        seconds, mib = cases["cpu_s"] / cases["n"], cases["peak_bytes_most"] >> 20
        lines.append(
            f"{cases['n']} inputs were answered, in {seconds:.3f} CPU seconds each (at most "
            f"{cases['cpu_s_most']:.2f}, {slowest}) and with {mib} MiB at most ({largest})"
        )
    if suites := metrics.get("suites"):
        parts = ", ".join(f"{name} {percent(value)}" for name, value in suites["parts"].items())
        lines.append(f"score: {percent(suites['score'])}; parts: {parts or 'none'}")
        ok = percent(suites["runs_and_ends_ok"])
        lines.append(f"runs and ends OK, whatever it catches: {ok}")
    for kind, names in metrics["hallucinated"].items():
        most = ", ".join(f"{name} ({count})" for name, count in list(names.items())[:5])
        lines.append(f"  {kind}: {most}")
    if metrics["unknown"]:
        reasons = ", ".join(f"{name} {count}" for name, count in metrics["unknown"].items())
        lines.append(
            f"{sum(metrics['unknown'].values())} samples count as not passed although their run "
            f"says nothing about them ({reasons})"
        )
    failed = metrics["n_error"] + metrics["n_rejected"]
    if failed:
        lines.append(
            f"{failed} problems have no samples and count as not passed: {metrics['n_error']} "
            f"errors (--retry-errors asks again), {metrics['n_rejected']} rejected"
        )
    if failed or metrics["unknown"]:
        lines.append(f"were all of these right: pass@1 {percent(metrics['pass_at_1_at_most'])}")
    if usage["n_responses"]:
        lines.append(_cost_text(usage, metrics))
    return "\n".join(lines)


def _cost_text(usage: Row, metrics: Row) -> str:
    """Tokens and seconds a problem, and the cost; tokens are of problems where they are known."""
    known, n_problems = usage["n_priced"], metrics["n_problems"]
    usd = "cost unknown" if usage["usd"] is None else f"${usage['usd']:.4f}"
    tokens = "unknown tokens"
    if known:
        each = (usage["input_tokens"] / known, usage["output_tokens"] / known)
        tokens = "{:.0f} + {:.0f} tokens".format(*each)
        if known < n_problems:
            tokens += f" (over the {known} of {n_problems} problems whose tokens are known)"
            usd += " for these" if usage["usd"] is not None else ""
    seconds = metrics["run_seconds_per_problem"]
    text = f"{tokens} and {seconds:.2f} s of running a problem; {usd} in all"
    n_cached, paid = usage.get("n_cached", 0), usage.get("usd_paid")
    if n_cached and paid is not None and usage["usd"] is not None:
        before = max(0.0, usage["usd"] - paid)
        text += f": ${before:.4f} paid before ({n_cached} of {usage['n_responses']} replies were"
        text += f" cached), ${paid:.4f} for this result"
    return text
