"""Bedrock's model invocation jobs: requests and answers in S3, within a day."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from codefavor.backends.base import Request, Response, Text
from codefavor.backends.batch_service import BatchService, JobStatus
from codefavor.backends.bedrock import (
    BedrockBackend,
    call,
    error_of,
    make_client,
    response_of,
)
from codefavor.backends.replies import object_in, status_in
from codefavor.errors import BackendError, ConfigError
from codefavor.redaction import redact_file

_FINAL = frozenset({"Completed", "PartiallyCompleted", "Stopped", "Expired"})


class BedrockBatchService(BatchService):
    """Invocation jobs with Converse input, as the backend's own role in the backend's region.

    `s3_uri` is a folder for both input and output; `job_role_arn` is the role that the service
    reads and writes it with.
    """

    min_requests = 100
    key_field = "recordId"

    def __init__(
        self,
        backend: BedrockBackend,
        *,
        s3_uri: Text,
        job_role_arn: Text,
        endpoint_url: Text | None = None,
        s3_endpoint_url: Text | None = None,
    ) -> None:
        if not s3_uri.startswith("s3://"):
            raise ConfigError(f"s3_uri must be s3://bucket/folder; found {s3_uri!r}")
        self._backend, self._model, self._role = backend, backend.model, job_role_arn
        self._bucket, _, prefix = s3_uri[len("s3://") :].partition("/")
        self._prefix = prefix.strip("/")
        session = backend.session
        self._bedrock = make_client(session, "bedrock", endpoint_url, threads=4, timeout_s=120)
        # Releases of boto3 before the Converse type refuse the field as an argument.
        self._bedrock.meta.events.register(
            "before-call.bedrock.CreateModelInvocationJob", _ask_for_converse
        )
        self._s3 = make_client(session, "s3", s3_endpoint_url, threads=4, timeout_s=600)

    def line(self, key: str, request: Request) -> bytes:
        """One record, named by its key. Raises BackendError for what Bedrock cannot honour."""
        body = self._backend.payload(request)
        body.pop("modelId")
        return orjson.dumps({"recordId": key, "modelInput": body})

    async def submit(self, file: Path, token: str) -> str:
        """Upload and start. The token makes a second start the same job."""
        name = f"codefavor-{token}"
        source = self._key(f"{name}/input.jsonl")
        try:
            await self._in_thread(self._s3.upload_file, str(file), self._bucket, source)
        except BackendError as error:
            where = f"s3://{self._bucket}/{self._prefix}"
            raise BackendError(
                f"{error} ({where})", retryable=error.retryable, reason=error.reason
            ) from error
        reply = await self._in_thread(
            self._bedrock.create_model_invocation_job,
            jobName=name,
            clientRequestToken=token,
            roleArn=self._role,
            modelId=self._model,
            inputDataConfig={"s3InputDataConfig": {"s3Uri": f"s3://{self._bucket}/{source}"}},
            outputDataConfig={
                "s3OutputDataConfig": {
                    "s3Uri": f"s3://{self._bucket}/{self._key(name + '/output/')}"
                }
            },
        )
        return str(reply["jobArn"])

    async def status(self, job: str) -> tuple[JobStatus, str]:
        """How the job is, with the service's message."""
        reply = await self._job(job)
        words = f"{reply['status']} {reply.get('message', '')}".strip()
        if reply["status"] == "Failed":
            return "failed", words
        return ("done" if reply["status"] in _FINAL else "running"), words

    async def collect(self, job: str, folder: Path) -> Path:
        """Fetch every output file of the job."""
        reply = await self._job(job)
        uri = reply["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"]
        prefix = uri[len(f"s3://{self._bucket}/") :]
        listing = await self._in_thread(
            self._s3.list_objects_v2, Bucket=self._bucket, Prefix=prefix
        )
        file = folder / (job.rsplit("/", 1)[-1] + ".results")
        with open(file, "wb") as out:
            for item in listing.get("Contents", []):
                if item["Key"].endswith(".jsonl.out"):
                    found = await self._in_thread(
                        self._s3.get_object, Bucket=self._bucket, Key=item["Key"]
                    )
                    out.write(redact_file(found["Body"].read()).rstrip(b"\n") + b"\n")
        return file

    def answer(self, row: Mapping[str, Any], request: Request) -> Response:
        """The response in a line of results."""
        if "modelOutput" in row:
            return response_of(row["modelOutput"], request)
        problem = object_in(row, "error")
        status = status_in(problem, "errorCode") or 500
        raise error_of(
            {
                "Error": {"Code": str(status), "Message": str(problem.get("errorMessage", ""))},
                "ResponseMetadata": {"HTTPStatusCode": status},
            }
        )

    async def _job(self, job: str) -> Mapping[str, Any]:
        return await self._in_thread(self._bedrock.get_model_invocation_job, jobIdentifier=job)

    async def _in_thread(self, function: Any, *args: Any, **options: Any) -> Mapping[str, Any]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, lambda: call(lambda: function(*args, **options)))

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name


def _ask_for_converse(params: dict[str, Any], **_: Any) -> None:
    params["body"] = orjson.dumps(
        {**orjson.loads(params["body"]), "modelInvocationType": "Converse"}
    )
