"""Model servers behind one interface; heavy clients are imported only by the kind that is used."""

from __future__ import annotations

from codefavor.backends.base import (
    Backend,
    Message,
    Request,
    Response,
    Sampling,
    TokenLogprob,
    Usage,
)
from codefavor.backends.fake import FakeBackend
from codefavor.backends.registry import BACKENDS, make_backend

__all__ = [
    "BACKENDS",
    "Backend",
    "FakeBackend",
    "Message",
    "Request",
    "Response",
    "Sampling",
    "TokenLogprob",
    "Usage",
    "make_backend",
]
