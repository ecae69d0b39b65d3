"""Two raylets on this machine, for all tests that need a Ray cluster."""

from __future__ import annotations

import contextlib
import os
from unittest import mock

import pytest

SMALL = {"num_cpus": 1, "object_store_memory": 80_000_000}
CLIENT_PORT = 23841
# Whom the two would ask, where nothing else is said.
ELSEWHERE = "http://127.0.0.1:9/v1"


def patiently(start):
    """What starts a raylet, again where it fails: on a busy machine its helpers are too late."""
    for _ in range(4):
        # Ray raises nothing more precise.
        with contextlib.suppress(Exception):
            return start()
    return start()


@pytest.fixture(scope="session")
def cluster():
    """Two raylets of one CPU each, on addresses of loopback."""
    os.environ.setdefault("RAY_agent_register_timeout_ms", "120000")
    pytest.importorskip("ray", reason="ray is not installed (the extra `cluster`)")
    from ray.cluster_utils import Cluster

    head = {
        **SMALL,
        "node_ip_address": "127.0.0.2",
        "include_dashboard": False,
        "ray_client_server_port": CLIENT_PORT,
    }
    with mock.patch.dict(os.environ, {"OPENAI_BASE_URL": ELSEWHERE}):
        made = patiently(lambda: Cluster(initialize_head=True, head_node_args=head))
        try:
            patiently(lambda: made.add_node(**SMALL, node_ip_address="127.0.0.3"))
        except BaseException:
            made.shutdown()
            raise
    try:
        yield made
    finally:
        made.shutdown()
