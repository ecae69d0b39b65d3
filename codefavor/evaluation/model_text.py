"""A model's result for a terminal, each number with what it rests on; pure."""

from __future__ import annotations

from codefavor.evaluation.result_text import percent
from codefavor.records import Row


def model_text(result: Row) -> str:
    """The result for a terminal, each number with what it rests on."""
    metrics, usage = result["metrics"], result["usage"]
    n = metrics["n_samples"]
    lines = [
        f"{result['benchmark']}: {result['model']['name']}, {metrics['n_problems']} problems, "
        f"{n} samples ({', '.join(f'{k} {v}' for k, v in result['settings'].items())})",
        f"licence of the problems: {result['license']}",
    ]
    for k, one in metrics["pass_at_k"].items():
        low, high = (percent(one[end]) for end in ("low", "high"))
        lines.append(f"pass@{k:<4}{percent(one['mean']):>6}   95 % interval {low} to {high}")
    lines.append(f"solved at least once: {metrics['n_solved']} of {metrics['n_problems']}")
    lines.append(f"parses: {percent(metrics['parse_rate'])}")
    for title, kind in (("outcomes", "outcomes"), ("failures", "failures")):
        counts = ", ".join(f"{name} {count}" for name, count in metrics[kind].items())
        lines.append(f"{title}: {counts or 'none'}")
    for kind, names in metrics["hallucinated"].items():
        most = ", ".join(f"{name} ({count})" for name, count in list(names.items())[:5])
        lines.append(f"  {kind}: {most}")
    if metrics["unknown"]:
        reasons = ", ".join(f"{name} {count}" for name, count in metrics["unknown"].items())
        lines.append(
            f"{sum(metrics['unknown'].values())} samples count as not passed although their run "
            f"says nothing about them ({reasons}); pass@1 is at most "
            f"{percent(metrics['pass_at_1_at_most'])}"
        )
    failed = metrics["n_error"] + metrics["n_rejected"]
    if failed:
        lines.append(
            f"{failed} problems have no samples and count as not passed: {metrics['n_error']} "
            f"errors (--retry-errors asks again), {metrics['n_rejected']} rejected"
        )
    if usage["n_responses"]:
        usd = "cost unknown" if usage["usd"] is None else f"${usage['usd']:.4f}"
        per = metrics["n_problems"]
        lines.append(
            f"{usage['input_tokens'] / per:.0f} + {usage['output_tokens'] / per:.0f} tokens and "
            f"{metrics['run_seconds_per_problem']:.2f} s of running a problem; {usd} in all"
        )
    return "\n".join(lines)
