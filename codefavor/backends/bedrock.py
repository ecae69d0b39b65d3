"""Amazon Bedrock through boto3's Converse call."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

from codefavor.backends.base import (
    BaseBackend,
    Feature,
    Request,
    Response,
    Usage,
    cut_at_stop,
    endpoint_of,
    with_hint,
)
from codefavor.errors import BackendError, ConfigError, MissingPackageError
from codefavor.records import Row

# AWS error code -> (reason, whether asking again can help).
_CODES = {
    "ThrottlingException": ("rate_limited", True),
    "TooManyRequestsException": ("rate_limited", True),
    "ServiceQuotaExceededException": ("rate_limited", True),
    "ServiceUnavailableException": ("overloaded", True),
    "ModelNotReadyException": ("overloaded", True),
    "ModelTimeoutException": ("timeout", True),
    "InternalServerException": ("server_error", True),
    "ModelErrorException": ("server_error", True),
    "AccessDeniedException": ("auth", False),
    "AccessDenied": ("auth", False),
    "UnrecognizedClientException": ("auth", False),
    "InvalidSignatureException": ("auth", False),
    "ExpiredTokenException": ("auth", False),
    "ResourceNotFoundException": ("unknown_model", False),
    "ValidationException": ("bad_request", False),
}
_TOO_LONG = re.compile(r"too long|too many (?:input )?tokens|maximum.{0,40}tokens|context", re.I)
_REFUSED = re.compile(
    r"cannot both be specified|doesn['\u2019]t support|(?:is|are|does) not support|is deprecated",
    re.I,
)
_CONVERSE_NAMES = {"top_p": "topP", "max_tokens": "maxTokens", "stop": "stopSequences"}
_NO_MODEL = re.compile(r"model identifier is invalid|on-demand throughput isn", re.I)
_STOP_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "filtered",
    "content_filtered": "filtered",
    "tool_use": "stop",
}
# Every model that knows tools can be made to fill one in; Converse's own `outputConfig` is
# honoured by few models and unknown to older releases of boto3.
_SCHEMA_TOOL = "answer"


class BedrockBackend(BaseBackend):
    """A model or inference profile of Bedrock.

    Credentials as boto3 finds them (`profile`, environment, instance role, or a bearer token
    in AWS_BEARER_TOKEN_BEDROCK). With `role_arn`, or AWS_ROLE_ARN, that role is assumed and its
    credentials are renewed before they expire. `region` None takes AWS's own settings.
    `threads` is how many calls run at once, `omit` names parameters that a model refuses, such
    as temperature or top_p. A JSON schema
    is asked for as the input of a tool, which the model must be able to use.
    """

    name: ClassVar[str] = "bedrock"
    features: frozenset[Feature] = frozenset({"json_schema", "stop", "system"})

    def __init__(
        self,
        model: str,
        *,
        region: str | None = None,
        profile: str | None = None,
        role_arn: str | None = None,
        endpoint_url: str | None = None,
        omit: tuple[str, ...] = (),
        threads: int = 64,
        timeout_s: float = 600.0,
    ) -> None:
        super().__init__(model)
        self._omit = tuple(omit)
        if role_arn is None and "AWS_WEB_IDENTITY_TOKEN_FILE" not in os.environ:
            # With a token file the variable is boto3's own: it has that role already.
            role_arn = os.environ.get("AWS_ROLE_ARN")
        self.session = make_session(region, profile, role_arn)
        self._client = make_client(
            self.session, "bedrock-runtime", endpoint_url, threads=threads, timeout_s=timeout_s
        )
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="bedrock")

    @property
    def identity(self) -> Row:
        """Backend, model, endpoint (which names the region), and the fields left out."""
        row = {**super().identity, "endpoint": endpoint_of(self._client.meta.endpoint_url)}
        return row | ({"omit": sorted(self._omit)} if self._omit else {})

    def payload(self, request: Request) -> Row:
        """The arguments of a Converse call, as `generate` and batch files send them."""
        self.check(request)
        return converse_payload(self.model, request, self._omit)

    async def generate(self, request: Request) -> Response:
        """The model's answer. Raises BackendError."""
        payload = self.payload(request)
        loop = asyncio.get_running_loop()
        try:
            result = await loop.run_in_executor(self._threads, self._converse, payload)
        except BackendError as error:
            raise with_hint(error, request) from error
        return response_of(result, request)

    async def close(self) -> None:
        """Close the connections and threads."""
        self._threads.shutdown(wait=False)
        self._client.close()

    def _converse(self, payload: Row) -> Mapping[str, Any]:
        return call(lambda: self._client.converse(**payload))


def make_session(region: str | None, profile: str | None, role_arn: str | None) -> Any:
    """A boto3 session, as the role if one is given.

    Raises ConfigError for an unknown profile, MissingPackageError without boto3.
    """
    try:
        import boto3
        from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
        from botocore.exceptions import BotoCoreError
        from botocore.session import Session
    except ImportError as error:
        raise MissingPackageError("boto3", "bedrock", "the backend 'bedrock'") from error
    try:
        # boto3 reads AWS_DEFAULT_REGION alone; AWS's other tools, and pods, have AWS_REGION.
        region = region or os.environ.get("AWS_REGION") or None
        session = boto3.Session(region_name=region, profile_name=profile)
    except BotoCoreError as error:
        raise ConfigError(f"the backend 'bedrock' cannot start: {error}") from error
    if session.region_name is None:
        raise ConfigError("the backend 'bedrock' needs a region: set AWS_REGION or --set region=")
    if role_arn is None:
        return session
    fetcher = AssumeRoleCredentialFetcher(
        client_creator=session._session.create_client,
        source_credentials=session.get_credentials(),
        role_arn=role_arn,
        extra_args={"RoleSessionName": "codefavor"},
    )
    inner = Session()
    # Renews by itself, well before the credentials expire.
    inner._credentials = DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")
    inner.set_config_variable("region", session.region_name)
    return boto3.Session(botocore_session=inner)


def make_client(
    session: Any, service: str, endpoint_url: str | None, *, threads: int, timeout_s: float
) -> Any:
    """A client that tries once: retrying is the engine's business, which counts it."""
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    try:
        return session.client(
            service,
            endpoint_url=endpoint_url,
            config=Config(
                retries={"total_max_attempts": 1},
                max_pool_connections=threads,
                read_timeout=timeout_s,
                connect_timeout=15,
            ),
        )
    except (BotoCoreError, ValueError) as error:
        raise ConfigError(f"the backend 'bedrock' cannot start: {error}") from error


def call(function: Any) -> Mapping[str, Any]:
    """The result of one AWS call. Raises BackendError with a reason for whatever goes wrong."""
    from boto3.exceptions import S3UploadFailedError
    from botocore import exceptions as aws
    from botocore.parsers import ResponseParserError

    try:
        result: Mapping[str, Any] = function()
        return result
    except aws.ClientError as error:
        raise error_of(error.response) from error
    except S3UploadFailedError as error:
        # boto3's own error hides what the service said.
        said = error.__context__
        if isinstance(said, aws.ClientError):
            raise error_of(said.response) from error
        raise BackendError(f"AWS: {error}", retryable=True, reason="connection") from error
    except ResponseParserError as error:
        raise BackendError(f"AWS: {error}", retryable=True, reason="bad_json") from error
    except (aws.NoCredentialsError, aws.PartialCredentialsError, aws.TokenRetrievalError) as error:
        raise BackendError(f"AWS: {error}", retryable=False, reason="auth") from error
    except aws.ReadTimeoutError as error:
        raise BackendError(f"AWS: {error}", retryable=True, reason="timeout") from error
    except (aws.EndpointConnectionError, aws.ConnectTimeoutError) as error:
        raise BackendError(f"AWS: {error}", retryable=True, reason="unreachable") from error
    except aws.ParamValidationError as error:
        raise BackendError(f"AWS: {error}", retryable=False, reason="bad_request") from error
    except aws.BotoCoreError as error:
        raise BackendError(f"AWS: {error}", retryable=True, reason="connection") from error


def error_of(response: Mapping[str, Any]) -> BackendError:
    """The named error of an AWS error response."""
    code = response.get("Error", {}).get("Code", "")
    message = response.get("Error", {}).get("Message", "")
    metadata = response.get("ResponseMetadata", {})
    status = metadata.get("HTTPStatusCode", 0)
    reason, retryable = _CODES.get(
        code, ("server_error", True) if status >= 500 else ("bad_request", False)
    )
    if status == 429 and not retryable:
        reason, retryable = "rate_limited", True
    if reason == "bad_request" and _NO_MODEL.search(message):
        reason = "unknown_model"
    elif reason == "bad_request" and _REFUSED.search(message):
        reason = "unsupported"
    elif reason == "bad_request" and _TOO_LONG.search(message):
        reason = "context_too_long"
    wish = metadata.get("HTTPHeaders", {}).get("retry-after", "")
    return BackendError(
        f"AWS: HTTP {status}: {code}: {message}",
        retryable=retryable,
        retry_after_s=float(wish) if retryable and wish.isdigit() else None,
        reason=reason,
    )


def converse_payload(model: str, request: Request, omit: tuple[str, ...] = ()) -> Row:
    """The arguments of a Converse call."""
    sampling = request.sampling
    inference: Row = {"maxTokens": sampling.max_tokens, "temperature": sampling.temperature}
    if sampling.top_p < 1:
        inference["topP"] = sampling.top_p
    if request.stop:
        inference["stopSequences"] = list(request.stop)
    for name in omit:
        inference.pop(_CONVERSE_NAMES.get(name, name), None)
    turns = [m for m in request.messages if m["role"] != "system"]
    payload: Row = {
        "modelId": model,
        "messages": [{"role": m["role"], "content": [{"text": m["content"]}]} for m in turns],
        "inferenceConfig": inference,
    }
    system = [{"text": m["content"]} for m in request.messages if m["role"] == "system"]
    # Converse refuses an empty text; an empty system message means none.
    if system and system[0]["text"]:
        payload["system"] = system
    if sampling.json_schema is not None:
        schema = {"json": dict(sampling.json_schema)}
        tool = {"name": _SCHEMA_TOOL, "description": "The answer.", "inputSchema": schema}
        payload["toolConfig"] = {
            "tools": [{"toolSpec": tool}],
            "toolChoice": {"tool": {"name": _SCHEMA_TOOL}},
        }
    return payload


def response_of(body: Mapping[str, Any], request: Request) -> Response:
    """The response in a Converse result. Raises BackendError (`bad_schema`) if it is none."""
    try:
        blocks = body["output"]["message"]["content"]
        text = "".join(block.get("text", "") for block in blocks)
        filled = [block["toolUse"]["input"] for block in blocks if "toolUse" in block]
        if request.sampling.json_schema is not None and filled:
            text = json.dumps(filled[0], ensure_ascii=False)
        reasoning = "".join(
            block["reasoningContent"].get("reasoningText", {}).get("text", "")
            for block in blocks
            if "reasoningContent" in block
        )
        counted = body.get("usage", {})
        usage = Usage(
            # Bedrock counts cached input apart from the rest.
            counted.get("inputTokens", 0) + counted.get("cacheReadInputTokens", 0),
            counted.get("outputTokens", 0),
            counted.get("cacheReadInputTokens", 0),
        )
        finish = body.get("stopReason", "end_turn")
    except (KeyError, TypeError, AttributeError) as error:
        raise BackendError(
            f"the answer is not a Converse result: {str(body)[:300]}",
            retryable=True,
            reason="bad_schema",
        ) from error
    text, was_cut = cut_at_stop(text, request.stop)
    finish = "stop" if was_cut else _STOP_REASONS.get(finish, f"other:{finish}")
    return Response(text, finish, usage, reasoning=reasoning)
