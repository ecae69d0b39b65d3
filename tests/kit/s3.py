"""A server on loopback that speaks S3 (moto's), for runs whose files lie on object storage."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest


@contextlib.contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """A server with an empty bucket `bucket`; the environment by which clients reach it.

    The test is skipped where a package is missing.
    """
    pytest.importorskip("s3fs", reason="s3fs is not installed (the extra `storage`)")
    server = pytest.importorskip("moto.server", reason="moto is not installed (the extra `dev`)")
    # No key of the machine, and none of a cloud's own address.
    environment = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    try:
        _, port = running.get_host_and_port()
        environment["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{port}"
        with mock.patch.dict(os.environ, environment):
            client().create_bucket(Bucket="bucket")
            yield environment
    finally:
        running.stop()


def client() -> Any:
    """A client of the server that does not go through our code."""
    import boto3

    return boto3.client("s3")


def names(prefix: str = "") -> list[str]:
    """The names of all objects that begin so."""
    pages = client().get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix=prefix)
    return [one["Key"] for page in pages for one in page.get("Contents", [])]


def read(name: str) -> bytes:
    """The bytes of an object."""
    body: bytes = client().get_object(Bucket="bucket", Key=name)["Body"].read()
    return body
