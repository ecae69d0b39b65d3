"""What the services asked by JSON over HTTP have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from codefavor.backends.base import BaseBackend, Reader, Request, Response
from codefavor.backends.connection import start_concurrency
from codefavor.backends.http import HttpClient
from codefavor.backends.refusals import with_hint
from codefavor.errors import BackendError
from codefavor.records import Row


class ServiceBackend(BaseBackend):
    """One POST a request to `path`; a subclass writes the body, `read` reads the answer."""

    path: str

    def __init__(
        self,
        model: str,
        client: HttpClient,
        read: Reader,
        omit: Sequence[str] = (),
        endpoint: str = "",
    ) -> None:
        super().__init__(model, omit)
        self.client, self._read = client, read
        self._endpoint = endpoint or client.endpoint
        if self.start_concurrency is not None:
            self.start_concurrency = start_concurrency(client.proxy)

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
            asks_schema = request.sampling.json_schema is not None
            raise with_hint(error, asks_schema=asks_schema) from error
        response = self._read(reply.body, request)
        return dataclasses.replace(response, hold_s=reply.hold_s) if reply.hold_s else response

    async def release(self) -> None:
        """Close the connections."""
        await self.client.close()
