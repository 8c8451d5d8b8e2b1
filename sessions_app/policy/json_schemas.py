"""The JSON Schemas of documents, which depend on the code alone."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel


@functools.cache
def json_schema(model: type[BaseModel]) -> Mapping[str, Any]:
    """Return a document's JSON Schema, which is generated once per process. Don't change it."""
    return model.model_json_schema()
