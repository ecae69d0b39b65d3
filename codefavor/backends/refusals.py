"""What a service or a backend refuses to honour, and what helps."""

from __future__ import annotations

import re
from collections.abc import Collection

from codefavor.errors import BackendError


def unsupported(
    name: str, model: str, feature: str, features: Collection[str] = ()
) -> BackendError:
    """The error for a request that a backend cannot honour as asked."""
    known = f"; it knows {', '.join(sorted(features))}" if features else ""
    return BackendError(
        f"the backend {name!r} cannot honour {feature!r} for {model!r}{known}",
        retryable=False,
        reason="unsupported",
    )


# How servers say that they cannot fill in a JSON schema, or (Bedrock) cannot be made to use a tool.
_SCHEMA_WORDS = re.compile(
    r"response.?format|json.?schema|structured.?output|guided|grammar|tool.?(?:choice|use|config)",
    re.I,
)


def with_hint(error: BackendError, *, asks_schema: bool) -> BackendError:
    """The error, with what helps where a service refuses a parameter it was sent.

    A refusal of the JSON schema that was asked for is `unsupported`, whatever it was called.
    """
    is_schema = asks_schema and _SCHEMA_WORDS.search(str(error)) is not None
    if error.reason not in ("unsupported", *(("bad_request",) if is_schema else ())):
        return error
    hint = "(leave a parameter out with --set 'omit=[\"temperature\"]')"
    if is_schema:
        hint = (
            "(it cannot be made to answer by a JSON schema: use --mode reasoned for a judge, "
            "--format sections for pairs)"
        )
    return BackendError(
        f"{error} {hint}",
        retryable=error.retryable,
        reason="unsupported",
        may_be_paid=error.may_be_paid,
    )
