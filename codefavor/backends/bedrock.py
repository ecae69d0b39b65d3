"""Amazon Bedrock through boto3's Converse call."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

from codefavor.backends.base import (
    Backend,
    Count,
    Feature,
    Request,
    Response,
    Text,
    endpoint_of,
)
from codefavor.backends.connection import (
    DEFAULT_CONNECTION,
    Connection,
    check_url,
    proxy_of,
    start_concurrency,
)
from codefavor.backends.http import USER_AGENT, decode_object
from codefavor.backends.http_errors import connection_error, failure, may_be_paid, retry_after_of
from codefavor.backends.http_errors import error_of as http_error_of
from codefavor.backends.replies import counted_usage, ended, object_in, reads, text_in
from codefavor.backends.service import with_hint
from codefavor.errors import BackendError, ConfigError, MissingPackageError
from codefavor.records import Row
from codefavor.redaction import excerpt, hide

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
# What a ValidationException means, by its message; the first that matches.
_MESSAGES = {
    "unknown_model": re.compile(r"model identifier is invalid|on-demand throughput isn", re.I),
    "unsupported": re.compile(
        r"cannot both be specified|doesn['\u2019]t support|(?:is|are|does) not support|"
        r"is deprecated",
        re.I,
    ),
    "context_too_long": re.compile(
        r"too long|too many (?:input )?tokens|maximum.{0,40}tokens|context", re.I
    ),
}
_CONVERSE_NAMES = {"top_p": "topP", "max_tokens": "maxTokens", "stop": "stopSequences"}
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


class BedrockBackend(Backend):
    """A model or inference profile of Bedrock.

    Credentials as boto3 finds them (`profile`, environment, instance role, or a bearer token
    in AWS_BEARER_TOKEN_BEDROCK). With `role_arn`, or AWS_ROLE_ARN, that role is assumed and its
    credentials are renewed before they expire. `region` None takes AWS's own settings.
    `threads` is how many calls run at once, `omit` names parameters that a model refuses, such
    as temperature or top_p. A JSON schema is asked for as the input of a tool, which the model
    must be able to use. Without `ca_bundle` AWS_CA_BUNDLE holds, as everywhere in AWS's tools.
    """

    name: ClassVar[str] = "bedrock"
    features: frozenset[Feature] = frozenset({"json_schema", "stop", "system"})

    def __init__(
        self,
        model: str,
        *,
        region: Text | None = None,
        profile: Text | None = None,
        role_arn: Text | None = None,
        endpoint_url: Text | None = None,
        omit: Sequence[str] = (),
        threads: Count = 64,
        connection: Connection = DEFAULT_CONNECTION,
    ) -> None:
        super().__init__(model, omit)
        if role_arn is None and "AWS_WEB_IDENTITY_TOKEN_FILE" not in os.environ:
            # With a token file the variable is boto3's own: it has that role already.
            role_arn = os.environ.get("AWS_ROLE_ARN")
        self.session = make_session(region, profile, role_arn, connection)
        self._client = make_client(
            self.session,
            "bedrock-runtime",
            endpoint_url,
            threads=threads,
            timeout_s=connection.timeout_s,
        )
        self.start_concurrency = start_concurrency(proxy_of(self._client.meta.endpoint_url))
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="bedrock")

    @property
    def identity(self) -> Row:
        """Backend, model, what is left out, and the endpoint, which names the region."""
        return {**super().identity, "endpoint": endpoint_of(self._client.meta.endpoint_url)}

    def payload(self, request: Request) -> Row:
        """The arguments of a Converse call, as `generate` and batch files send them."""
        self.check(request)
        sampling = request.sampling
        inference: Row = {"maxTokens": sampling.max_tokens, "temperature": sampling.temperature}
        if sampling.top_p < 1:
            inference["topP"] = sampling.top_p
        if request.stop:
            inference["stopSequences"] = list(request.stop)
        for name in self.omit:
            inference.pop(_CONVERSE_NAMES.get(name, name), None)
        payload: Row = {
            "modelId": self.model,
            "messages": [
                {"role": m["role"], "content": [{"text": m["content"]}]} for m in request.turns
            ],
            "inferenceConfig": inference,
        }
        # Converse refuses an empty text; an empty system message means none.
        if request.system:
            payload["system"] = [{"text": request.system}]
        if sampling.json_schema is not None:
            schema = {"json": dict(sampling.json_schema)}
            tool = {"name": _SCHEMA_TOOL, "description": "The answer.", "inputSchema": schema}
            payload["toolConfig"] = {
                "tools": [{"toolSpec": tool}],
                "toolChoice": {"tool": {"name": _SCHEMA_TOOL}},
            }
        return payload

    async def generate(self, request: Request) -> Response:
        """The model's answer. Raises BackendError."""
        payload = self.payload(request)
        loop = asyncio.get_running_loop()
        try:
            result = await loop.run_in_executor(
                self._threads, call, functools.partial(self._client.converse, **payload)
            )
        except BackendError as error:
            raise with_hint(error, request) from error
        return response_of(result, request)

    async def close(self) -> None:
        """Close the connections and threads."""
        self._threads.shutdown(wait=False)
        self._client.close()


def make_session(
    region: str | None,
    profile: str | None,
    role_arn: str | None,
    connection: Connection,
) -> Any:
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
    _configure(session._session, connection)
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
    _configure(inner, connection)
    return boto3.Session(botocore_session=inner)


def _configure(session: Any, connection: Connection) -> None:
    """What every client of a session has, that for assuming a role too."""
    from botocore.config import Config

    if connection.has_files:
        connection.tls_context()  # says now which file cannot be used
    if connection.ca_bundle:
        session.set_config_variable("ca_bundle", connection.ca_bundle)
    pair = tuple(filter(None, (connection.client_cert, connection.client_key)))
    session.set_default_client_config(
        Config(user_agent_extra=USER_AGENT, client_cert=pair if len(pair) > 1 else "".join(pair))
    )


def make_client(
    session: Any, service: str, endpoint_url: str | None, *, threads: int, timeout_s: float
) -> Any:
    """A client that tries once: retrying is the engine's business, which counts it."""
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    if endpoint_url is not None:
        check_url(endpoint_url)
    proxy = proxy_of(endpoint_url or f"https://{service}.{session.region_name}.amazonaws.com")
    try:
        client = session.client(
            service,
            endpoint_url=endpoint_url,
            config=Config(
                retries={"total_max_attempts": 1},
                max_pool_connections=threads,
                read_timeout=timeout_s,
                connect_timeout=15,
                proxies=dict.fromkeys(("http", "https"), proxy.login_url) if proxy else {},
                tcp_keepalive=True,
            ),
        )
    except (BotoCoreError, ValueError) as error:
        raise ConfigError(f"the backend 'bedrock' cannot start: {error}") from error
    client.meta.events.register("before-send", _hide_credentials)
    client.meta.events.register("before-parse.bedrock-runtime.Converse", _keep_the_answer)
    return client


def _keep_the_answer(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any
) -> None:
    """The result as it came: AWS's parser loses an answer for a count beside it that is none."""
    if response_dict["status_code"] < 300:
        customized_response_dict |= decode_object(response_dict["body"])
        response_dict["body"] = b"{}"


def _hide_credentials(request: Any, **_: Any) -> None:
    """What is sent as it is, and so may come back in an error; a signature is good for once."""
    for name in ("X-Amz-Security-Token", "Authorization"):
        value = request.headers.get(name) or ""
        text = value.decode() if isinstance(value, bytes) else value
        hide(text.removeprefix("Bearer ") if not text.startswith("AWS4-") else None)


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
        raise failure(f"AWS: {error}", "connection", retryable=True) from error
    except (ResponseParserError, ValueError, TypeError) as error:
        # The last two are its parser's too, where a number is none.
        raise failure(f"AWS: {error}", "bad_json", retryable=True) from error
    except (aws.NoCredentialsError, aws.PartialCredentialsError, aws.TokenRetrievalError) as error:
        raise failure(f"AWS: {error}", "auth") from error
    except aws.ParamValidationError as error:
        raise failure(f"AWS: {error}", "bad_request") from error
    except aws.BotoCoreError as error:
        raise connection_error(error, error.kwargs.get("endpoint_url", "AWS")) from error


def error_of(response: Mapping[str, Any]) -> BackendError:
    """The named error of an AWS error response."""
    code = response.get("Error", {}).get("Code", "")
    message = response.get("Error", {}).get("Message", "")
    metadata = response.get("ResponseMetadata", {})
    status, headers = metadata.get("HTTPStatusCode", 0), metadata.get("HTTPHeaders", {})
    if not code or code.isdigit():
        # Not AWS's words: what stands in between answered, a proxy or a gateway.
        return http_error_of(status, headers, message.encode(), "AWS")
    usual = ("server_error", True) if status >= 500 else ("bad_request", False)
    reason, retryable = _CODES.get(code, usual)
    if reason == "bad_request":
        found = (name for name, pattern in _MESSAGES.items() if pattern.search(message))
        reason = next(found, reason)
    return failure(
        f"AWS: HTTP {status}: {code}: {excerpt(message)}",
        reason,
        retryable=retryable,
        retry_after_s=retry_after_of(headers) if retryable else None,
        may_be_paid=may_be_paid(status),
    )


@reads("a Converse result")
def response_of(body: Mapping[str, Any], request: Request) -> Response:
    """The response in a Converse result."""
    blocks = body["output"]["message"]["content"]
    text = "".join(block.get("text", "") for block in blocks)
    filled = [block["toolUse"]["input"] for block in blocks if "toolUse" in block]
    if request.sampling.json_schema is not None and filled:
        text = json.dumps(filled[0], ensure_ascii=False)
    thoughts = (object_in(block, "reasoningContent") for block in blocks)
    reasoning = "".join(text_in(object_in(one, "reasoningText"), "text") for one in thoughts)
    counts = object_in(body, "usage")
    # Bedrock counts cached input apart from the rest.
    inputs = ["inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens"]
    cached = counts.get("cacheReadInputTokens")
    usage = counted_usage(counts, inputs, ["outputTokens"], cached)
    text, finish = ended(text, body.get("stopReason"), _STOP_REASONS, request.stop)
    return Response(text, finish, usage, reasoning=reasoning)
