"""The server behind the gateway: the SDK's own, with the tools that the suites call."""

import asyncio
from typing import Any

import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
SOUND = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA="
TEXT: dict[str, Any] = {"type": "text", "text": "This is a simple text response for testing."}
IMAGE = {"type": "image", "data": PIXEL, "mimeType": "image/png"}
AUDIO = {"type": "audio", "data": SOUND, "mimeType": "audio/wav"}
EMBEDDED = {"type": "resource", "resource": {"uri": "test://r", "mimeType": "text/plain", "text": "embedded"}}
CONTENTS: dict[str, list[dict[str, Any]]] = {
    "test_simple_text": [TEXT],
    "test_image_content": [IMAGE],
    "test_audio_content": [AUDIO],
    "test_embedded_resource": [EMBEDDED],
    "test_multiple_content_types": [TEXT, IMAGE, EMBEDDED],
    "test_error_handling": [{"type": "text", "text": "This tool intentionally returns an error for testing"}],
    "test_tool_with_progress": [TEXT],
    "test_logging_tool": [TEXT],
    "test_streaming_elicitation": [TEXT],
    "test_missing_capability": [TEXT],
    "json_schema_2020_12_tool": [TEXT],
    "test_headers": [TEXT],
}
ASK_BACK = (
    "test_sampling",
    "test_elicitation",
    "test_elicitation_sep1034_defaults",
    "test_elicitation_sep1330_enums",
    "test_input_required_result_capabilities",
    "test_input_required_result_elicitation",
    "test_input_required_result_list_roots",
    "test_input_required_result_multi_round",
    "test_input_required_result_multiple_inputs",
    "test_input_required_result_request_state",
    "test_input_required_result_sampling",
    "test_input_required_result_tampered_state",
)
NAMES = (*CONTENTS, *ASK_BACK)
SCHEMAS: dict[str, dict[str, Any]] = {
    "test_headers": {
        "type": "object",
        "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
        "required": ["region"],
    },
    "json_schema_2020_12_tool": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
            }
        },
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    },
}


async def _list(_context: Any, _params: Any) -> types.ListToolsResult:
    tools = [
        {"name": name, "description": name, "inputSchema": SCHEMAS.get(name, {"type": "object"})}
        for name in NAMES
    ]
    return types.ListToolsResult.model_validate({"tools": tools})


async def _call(
    context: Any, params: types.CallToolRequestParams
) -> types.CallToolResult | types.InputRequiredResult:
    if params.name in ASK_BACK:
        return types.InputRequiredResult.model_validate(
            {"inputRequests": {"roots": {"method": "roots/list"}}}
        )
    if params.name == "test_missing_capability":
        raise MCPError(-32021, "Sampling is required.", {"requiredCapabilities": {"sampling": {}}})
    if params.name == "test_tool_with_progress":
        for step in (0, 50, 100):
            await context.session.report_progress(step, 100)
            await asyncio.sleep(0.05)
    failed = params.name == "test_error_handling"
    return types.CallToolResult.model_validate({"content": CONTENTS[params.name], "isError": failed})


RESOURCES: dict[str, dict[str, str]] = {
    "test://static-text": {
        "mimeType": "text/plain",
        "text": "This is the content of the static text resource.",
    },
    "test://static-binary": {"mimeType": "image/png", "blob": PIXEL},
    "test://template/123/data": {
        "mimeType": "application/json",
        "text": '{"id": "123", "templateTest": true, "data": "Data for ID: 123"}',
    },
}
PROMPTS: dict[str, tuple[list[str], list[dict[str, Any]]]] = {
    "test_simple_prompt": ([], [{"type": "text", "text": "This is a simple prompt for testing."}]),
    "test_prompt_with_arguments": (["arg1", "arg2"], []),
    "test_prompt_with_embedded_resource": (["resourceUri"], []),
    "test_prompt_with_image": ([], [IMAGE, {"type": "text", "text": "Please analyze the image above."}]),
}


async def _list_resources(_context: Any, _params: Any) -> types.ListResourcesResult:
    listed = [{"uri": uri, "name": uri, "mimeType": one["mimeType"]} for uri, one in RESOURCES.items()]
    return types.ListResourcesResult.model_validate({"resources": listed[:2]})


async def _list_templates(_context: Any, _params: Any) -> types.ListResourceTemplatesResult:
    one = {"uriTemplate": "test://template/{id}/data", "name": "template"}
    return types.ListResourceTemplatesResult.model_validate({"resourceTemplates": [one]})


async def _read(_context: Any, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
    uri = str(params.uri)
    return types.ReadResourceResult.model_validate({"contents": [{"uri": uri, **RESOURCES[uri]}]})


async def _list_prompts(_context: Any, _params: Any) -> types.ListPromptsResult:
    listed = [
        {"name": name, "description": name, "arguments": [{"name": one, "required": True} for one in given]}
        for name, (given, _) in PROMPTS.items()
    ]
    return types.ListPromptsResult.model_validate({"prompts": listed})


async def _get(_context: Any, params: types.GetPromptRequestParams) -> types.GetPromptResult:
    given = params.arguments or {}
    contents = PROMPTS[params.name][1]
    if params.name == "test_prompt_with_arguments":
        contents = [{"type": "text", "text": f"Prompt with arguments: {list(given.values())}"}]
    elif params.name == "test_prompt_with_embedded_resource":
        resource = {"uri": given["resourceUri"], "mimeType": "text/plain", "text": "embedded"}
        contents = [
            {"type": "resource", "resource": resource},
            {"type": "text", "text": "Please process it."},
        ]
    return types.GetPromptResult.model_validate(
        {"messages": [{"role": "user", "content": one} for one in contents]}
    )


def application() -> Any:
    """Return the server as an ASGI application."""
    server = Server(
        "conformance",
        version="1",
        on_list_tools=_list,
        on_call_tool=_call,
        on_list_resources=_list_resources,
        on_list_resource_templates=_list_templates,
        on_read_resource=_read,
        on_list_prompts=_list_prompts,
        on_get_prompt=_get,
    )
    return server.streamable_http_app()
