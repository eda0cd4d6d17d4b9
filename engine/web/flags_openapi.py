"""The OpenAPI description of experiments as flags; their routes describe nothing themselves."""

from typing import Any, Final

_TEXT: Final = {"type": "string"}
_OBJECT: Final = {"type": "object"}
_SCALAR: Final = {"type": ["string", "number", "boolean"]}
_KEYED: Final[list[dict[str, Any]]] = [{"writeKey": []}]
_ETAG: Final = {"name": "If-None-Match", "in": "header", "required": False, "schema": _TEXT}
_FLAG: Final = {
    "type": "object",
    "properties": {
        "key": _TEXT,
        "value": {},
        "reason": {"enum": ["SPLIT", "TARGETING_MATCH", "STATIC", "DISABLED", "DEFAULT"]},
        "variant": _TEXT,
        "metadata": {"type": "object", "additionalProperties": _SCALAR},
        "errorCode": _TEXT,
        "errorDetails": _TEXT,
    },
}


def flag_paths(problem: dict[str, Any]) -> dict[str, Any]:
    """The paths; `problem` describes an answer that refuses."""
    context = {"context": {"type": "object", "properties": {"targetingKey": _TEXT}}}
    bulk = {"flags": {"type": "array", "items": _FLAG}, "metadata": _OBJECT, "eventStreams": {}}
    exposure = {
        "experiment": _TEXT, "variant": _TEXT, "phase": {"type": "integer"}, "userId": _TEXT,
        "anonymousId": _TEXT, "timestamp": {"type": "string", "format": "date-time"},
        "context": _OBJECT, "allocation": {"type": "integer"}, "bandit_context": _TEXT,
    }  # fmt: skip
    many = {"type": "array", "items": {"type": "object", "properties": exposure}}
    audience = {
        "experiment": _TEXT,
        "units": {"type": "array", "maxItems": 100_000, "items": _TEXT},
        "segment": _TEXT,
    }
    evaluation = {
        "attributes": _OBJECT, "forcedVariations": _OBJECT, "forcedFeatures": {}, "url": _TEXT,
    }  # fmt: skip
    return {
        "/ofrep/v1/evaluate/flags/{key}": {
            "post": _operation(
                "OpenFeature remote evaluation: one served experiment.",
                context, _json(_FLAG), problem, (400, 401, 404, 413, 429, 503),
                [_in_path("key"), _in_query("flagConfigEtag"), _in_query("flagConfigLastModified")],
            )
        },
        "/ofrep/v1/evaluate/flags": {
            "post": _operation(
                "OpenFeature remote evaluation: all served experiments.",
                context, _json({"type": "object", "properties": bulk}), problem,
                (304, 400, 401, 413, 429, 503),
                [_ETAG, _in_query("flagConfigEtag"), _in_query("flagConfigLastModified")],
            )
        },
        "/ofrep/v1/events": {
            "get": _stream(
                "Server-sent events: refetchEvaluation after each change.",
                problem, [_in_query("token", is_required=True)],
            )
        },
        "/api/features/{client_key}": {
            "get": _operation(
                "The payload of GrowthBook's SDKs; the write key stands in the path.",
                None, _json(_OBJECT), problem, (304, 401, 429, 503),
                [_in_path("client_key"), _ETAG], security=[],
            )
        },
        "/sub/{client_key}": {
            "get": _stream(
                "Server-sent events: features-updated after each change.",
                problem, [_in_path("client_key")],
            )
        },
        "/api/eval/{client_key}": {
            "post": _operation(
                "Remote evaluation of GrowthBook's SDKs.",
                evaluation, _json(_OBJECT), problem, (400, 401, 413, 429, 503),
                [_in_path("client_key")], security=[],
            )
        },
        "/v1/assignments:batch": {
            "post": _operation(
                "What many units are given, a line of JSON each; server keys only.",
                audience, {"application/x-ndjson": {"schema": _TEXT}}, problem,
                (400, 401, 403, 404, 413, 429, 503), [],
            )
        },
        "/v1/exposures": {
            "post": _operation(
                "What visitors were shown, once for each experiment, phase and unit.",
                {**exposure, "exposures": many}, _json(_OBJECT), problem,
                (400, 401, 413, 429, 503), [],
            )
        },
    }  # fmt: skip


def _operation(
    summary: str,
    body: dict[str, Any] | None,
    content: dict[str, Any],
    problem: dict[str, Any],
    refusals: tuple[int, ...],
    parameters: list[dict[str, Any]],
    *,
    security: list[dict[str, Any]] = _KEYED,
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "summary": summary,
        "security": security,
        "parameters": parameters,
        "responses": {
            "200": {"description": "OK", "content": content},
            **{
                str(it): {"description": "The same as before, by the ETag."}
                if it == 304
                else problem
                for it in refusals
            },
        },
    }
    if body is not None:
        schema = {"type": "object", "properties": body}
        found["requestBody"] = {"required": True, "content": _json(schema)}
    return found


def _stream(
    summary: str, problem: dict[str, Any], parameters: list[dict[str, Any]]
) -> dict[str, Any]:
    content = {"text/event-stream": {"schema": _TEXT}}
    return _operation(summary, None, content, problem, (401, 503), parameters, security=[])


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": _TEXT}


def _in_query(name: str, *, is_required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": is_required, "schema": _TEXT}
