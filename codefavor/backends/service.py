"""What the services asked by JSON over HTTP have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from codefavor.backends.base import Backend, Request, Response
from codefavor.backends.connection import DEFAULT_CONNECTION, Connection, start_concurrency
from codefavor.backends.http import HttpClient
from codefavor.backends.replies import Reader
from codefavor.errors import BackendError
from codefavor.records import Row

# How servers say that they cannot fill in a JSON schema, or (Bedrock) cannot be made to use a tool.
_SCHEMA_WORDS = re.compile(
    r"response.?format|json.?schema|structured.?output|guided|grammar|tool.?(?:choice|use|config)",
    re.I,
)


class ServiceBackend(Backend):
    """One POST a request to `path`; a subclass writes the body, `read` reads the answer."""

    path: str

    def __init__(
        self,
        model: str,
        url: str,
        headers: Mapping[str, str],
        read: Reader,
        *,
        omit: Sequence[str] = (),
        connection: Connection = DEFAULT_CONNECTION,
        trust_env: bool = True,
        endpoint: str | None = None,
    ) -> None:
        super().__init__(model, omit)
        self.client = HttpClient(url, headers, connection, trust_env=trust_env)
        self._read, self._endpoint = read, endpoint or self.client.endpoint
        if self.start_concurrency is not None:
            self.start_concurrency = start_concurrency(self.client.proxy)

    @property
    def identity(self) -> Row:
        """Backend, model, what is left out, and the server's address or what stands for it."""
        return {**super().identity, "endpoint": self._endpoint}

    def payload(self, request: Request) -> Row:
        """The JSON body for a request. Raises BackendError for what cannot be honoured."""
        raise NotImplementedError

    async def generate(self, request: Request) -> Response:
        """The service's answer. Raises BackendError."""
        try:
            reply = await self.client.post(self.path, self.payload(request))
        except BackendError as error:
            if error.reason == "filtered":
                return Response("", "filtered")
            raise with_hint(error, request) from error
        response = self._read(reply.body, request)
        if reply.pause_s:
            return msgspec.structs.replace(response, pause_s=reply.pause_s)
        return response

    async def release(self) -> None:
        """Close the connections."""
        await self.client.close()


def with_hint(error: BackendError, request: Request) -> BackendError:
    """The error, with what helps where a service refuses a parameter it was sent.

    A refusal of the JSON schema that was asked for is `unsupported`, whatever it was called.
    """
    asks_schema = request.sampling.json_schema is not None
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
