"""What a service does that answers files of requests, and how its results are read."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from codefavor.backends.base import Request, Response
from codefavor.backends.http import decode_object
from codefavor.backends.replies import text_in
from codefavor.errors import BackendError

logger = logging.getLogger(__name__)

JobStatus = Literal["running", "done", "failed"]
Outcome = Response | BackendError


class BatchService:
    """A service that answers files of requests.

    `submit` is given a token that stays the same when it is called again for the same file
    after a crash, so that a job is never started (and paid) twice. A round of fewer than
    `min_requests`, which the service would refuse, is asked one by one, at the full price.
    """

    # OpenAI's and Bedrock's caps (50,000 requests, 200 MB), with some room.
    max_requests = 50_000
    max_bytes = 190_000_000
    min_requests = 1
    # The field in a line of results that names the request.
    key_field: ClassVar[str] = "custom_id"

    def line(self, key: str, request: Request) -> bytes:
        """The line of a request in a job's file, without its line break.

        Raises BackendError for what the service cannot honour.
        """
        raise NotImplementedError

    async def submit(self, file: Path, token: str) -> str:
        """Start a job, or find the one that was started with this token; its id."""
        raise NotImplementedError

    async def status(self, job: str) -> tuple[JobStatus, str]:
        """How the job is, and the service's own words; `failed`: it refused the whole file."""
        raise NotImplementedError

    async def collect(self, job: str, folder: Path) -> Path:
        """Fetch the results of a finished job; the file that holds them, in any order."""
        raise NotImplementedError

    def answer(self, row: Mapping[str, Any], request: Request) -> Response:
        """The response in a line of results. Raises BackendError."""
        raise NotImplementedError

    def results(self, file: Path, requests: Mapping[str, Request]) -> Iterator[tuple[str, Outcome]]:
        """(key, answer or error) of each of these requests that the file has a result for."""
        with open(file, "rb") as handle:
            for line in filter(bytes.strip, handle):
                try:
                    row = decode_object(line)
                except BackendError as error:
                    # Whose result it was, nobody can tell; the others are none the worse.
                    logger.warning("%s: a line of results is not read: %s", file, error)
                    continue
                key = text_in(row, self.key_field)
                if key in requests:
                    yield key, self._outcome(row, requests[key])

    def _outcome(self, row: Mapping[str, Any], request: Request) -> Outcome:
        try:
            return self.answer(row, request)
        except BackendError as error:
            return error
