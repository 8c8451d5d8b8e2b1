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


def application() -> Any:
    """Return the server as an ASGI application."""
    return Server("conformance", version="1", on_list_tools=_list, on_call_tool=_call).streamable_http_app()
