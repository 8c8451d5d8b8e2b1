"""AgentDojo's suites, without the clients of language models that its package imports.

`.ci/bootstrap test` installs the package and its few other dependencies to `.cache/agents`.
"""

import datetime as dt
import enum
import importlib
import sys
import types
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

FOLDER = Path(__file__).resolve().parents[3] / ".cache" / "agents"
VERSIONS = ("v1.1.2", "v1.2.2")


@cache
def suites(version: str) -> dict[str, Any]:
    """Return the suites of a version by name. Raises SystemExit if the package is not installed."""
    if not (FOLDER / "agentdojo").is_dir():
        sys.exit("AgentDojo is not installed. Run `.ci/bootstrap test`.")
    # These import the clients. The suites need of them only that they can be imported.
    pipeline = types.ModuleType("agentdojo.agent_pipeline")
    pipeline.__path__ = [str(FOLDER / "agentdojo" / "agent_pipeline")]
    player = types.ModuleType("agentdojo.agent_pipeline.ground_truth_pipeline")
    player.__dict__["GroundTruthPipeline"] = object
    for module in (pipeline, player):
        sys.modules.setdefault(module.__name__, module)
    # Nothing else finds these packages.
    sys.path.append(str(FOLDER))
    try:
        loading = importlib.import_module("agentdojo.task_suite.load_suites")
    finally:
        sys.path.remove(str(FOLDER))
    found: dict[str, Any] = loading.get_suites(version)
    return found


def prompts(suite: str) -> dict[str, str]:
    """Return the prompts of a suite by task."""
    tasks = suites(VERSIONS[-1])[suite].user_tasks
    return {name: task.PROMPT for name, task in tasks.items()}


@cache
def _environment(suite: str, planted: str | None) -> Any:
    written = _written(suite)
    if planted is not None:
        written = dict.fromkeys(written, planted)
    there = suites(VERSIONS[-1])[suite]
    return there.environment_type.model_validate(_filled(_data(suite), written))


@cache
def _written(suite: str) -> dict[str, str]:
    """Return the text that outsiders have written if no one attacks, by its place."""
    found: dict[str, str] = suites(VERSIONS[-1])[suite].get_injection_vector_defaults()
    return found


@cache
def _data(suite: str) -> Any:
    """Return the data of an environment, which all versions share, with a place for each outsider's text."""
    loader = importlib.import_module("agentdojo.yaml_loader").ImportLoader
    with (FOLDER / "agentdojo" / "data" / "suites" / suite / "environment.yaml").open() as file:
        return yaml.load(file, loader)


def _filled(data: Any, written: dict[str, str]) -> Any:
    if isinstance(data, dict):
        return {_filled(key, written): _filled(one, written) for key, one in data.items()}
    if isinstance(data, list):
        return [_filled(one, written) for one in data]
    return data.format(**written) if isinstance(data, str) else data


def environment(suite: str, planted: str | None = None) -> Any:
    """Return a new environment. ``planted`` is in every place that an outsider can write to."""
    return deepcopy(_environment(suite, planted))


def start(suite: str, task: Any, planted: str | None = None) -> Any:
    """Return the environment in which a task begins."""
    return task.init_environment(environment(suite, planted))


def calls(task: Any, environment: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return the calls that solve a task, or that reach an injected goal, as JSON. A null is left out."""
    made = task.ground_truth(environment)
    return [(one.function, {k: v for k, v in plain(dict(one.args)).items() if v is not None}) for one in made]


@cache
def _runtime(suite: str) -> Any:
    runtime_of = importlib.import_module("agentdojo.functions_runtime").FunctionsRuntime
    return runtime_of(suites(VERSIONS[-1])[suite].tools)


def run(suite: str, environment: Any, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Call a tool in an environment, and return its MCP result."""
    value, error = _runtime(suite).run_function(environment, name, arguments)
    if error is not None:
        return {"content": [{"type": "text", "text": error}], "isError": True}
    value = plain(value)
    return {"content": [], "structuredContent": value if isinstance(value, dict) else {"result": value}}


def plain(value: Any) -> Any:
    """Return a value as JSON."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, enum.Enum):
        return value.value
    return value.isoformat() if isinstance(value, dt.date) else value


def tools(suite: str) -> Iterator[dict[str, Any]]:
    """Yield the definitions of a suite's tools, as its server lists them. All versions have the same."""
    for tool in suites(VERSIONS[-1])[suite].tools:
        yield {
            "name": tool.name,
            "description": tool.description,
            "inputSchema": tool.parameters.model_json_schema(),
        }
