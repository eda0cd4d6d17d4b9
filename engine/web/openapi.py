"""The OpenAPI description of routes that are raw for speed and so describe nothing themselves."""

from typing import Any, Final

from engine.web.flags_openapi import flag_paths

_CALLS: Final = {
    "track": "An event: something a person did. Needs `event`.",
    "identify": "Traits of a person, and with a server key their consent.",
    "page": "A page was viewed.",
    "screen": "A screen of an app was viewed.",
    "group": "A person belongs to a group. Needs `groupId`.",
    "alias": "Two ids are one person. Needs `previousId` and `userId`; server keys only.",
}

_COMMON: Final[dict[str, Any]] = {
    "userId": {"type": "string"},
    "anonymousId": {"type": "string"},
    "messageId": {"type": "string", "maxLength": 100},
    "timestamp": {"type": "string", "format": "date-time"},
    "sentAt": {"type": "string", "format": "date-time"},
    "context": {"type": "object"},
}
_OWN: Final[dict[str, dict[str, Any]]] = {
    "track": {"event": {"type": "string"}, "properties": {"type": "object"}},
    "identify": {"traits": {"type": "object"}},
    "page": {"name": {"type": "string"}, "properties": {"type": "object"}},
    "screen": {"name": {"type": "string"}, "properties": {"type": "object"}},
    "group": {"groupId": {"type": "string"}, "traits": {"type": "object"}},
    "alias": {"previousId": {"type": "string"}},
}
_PROBLEM: Final = {
    "description": "What was wrong, for people and machines.",
    "content": {
        "application/problem+json": {
            "schema": {
                "type": "object",
                "properties": {
                    "type": {"type": "string"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                    "field": {"type": "string"},
                    "code": {"type": "string"},
                },
            }
        }
    },
}


def describe(title: str, description: str) -> dict[str, Any]:
    """The whole description, OpenAPI 3.1."""
    paths: dict[str, Any] = {
        f"/v1/{name}": {"post": _operation(summary, {**_COMMON, **_OWN[name]})}
        for name, summary in _CALLS.items()
    }
    items = {"type": "array", "items": {"type": "object"}, "maxItems": 2500}
    paths["/v1/batch"] = {
        "post": _operation("Up to 2,500 calls at once, answered one by one.", {"batch": items})
    }
    paths["/v1/campaigns/{name}/trigger"] = {"post": _triggering()}
    paths["/v1/profiles/{id}"] = {"get": _reading("One person.", "id", "path")}
    paths["/v1/placements"] = {"get": _placements()}
    paths["/v1/placements/events"] = {"post": _visits()}
    paths |= flag_paths(_PROBLEM)
    callback = _callback()
    paths["/webhooks/{channel}"] = {"post": callback, "get": callback}
    for path, summary in (
        ("/healthz", "Is the process alive?"),
        ("/readyz", "Does it play a release?"),
        ("/metrics", "Prometheus text."),
    ):
        paths[path] = {"get": {"summary": summary, "responses": {"200": {"description": "OK"}}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "1", "description": description},
        "paths": paths,
        "components": {
            "securitySchemes": {
                "writeKey": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "The write key is the user name; the password is empty.",
                }
            }
        },
    }


def _triggering() -> dict[str, Any]:
    body = {name: _COMMON[name] for name in ("userId", "anonymousId", "context")}
    operation = _operation(
        "Start a campaign for one person; server keys only.",
        {**body, "properties": {"type": "object"}},
    )
    text = {"type": "string"}
    operation["parameters"] = [
        {"name": "name", "in": "path", "required": True, "schema": text},
        {"name": "Idempotency-Key", "in": "header", "required": False, "schema": text},
    ]
    operation["responses"] |= {str(status): _PROBLEM for status in (403, 404, 409, 422)}
    return operation


def _placements() -> dict[str, Any]:
    text = {"type": "string"}
    names = ("anonymousId", "userId", "userHash", "placement", "writeKey")
    message = {
        **dict.fromkeys(("id", "placement", "html", "at", "token"), text),
        "kind": {"enum": ["in-page", "banner", "modal"]},
        "priority": {"type": "integer", "minimum": 0, "maximum": 100},
        "expires_at": {"type": ["string", "null"]},
    }
    shown = {"type": "array", "items": {"type": "object", "properties": message}}
    schema = {"type": "object", "properties": {"placements": shown}}
    return {
        "summary": "Web messages that this visitor may be shown, best first.",
        "security": [{"writeKey": []}],
        "parameters": [
            *({"name": name, "in": "query", "required": False, "schema": text} for name in names),
            {"name": "If-None-Match", "in": "header", "required": False, "schema": text},
        ],
        "responses": {
            "200": {"description": "OK", "content": {"application/json": {"schema": schema}}},
            "304": {"description": "The same as before, by the ETag."},
            **{str(status): _PROBLEM for status in (400, 401, 403, 503)},
        },
    }


def _visits() -> dict[str, Any]:
    """No key: each event is proved by its message's own token."""
    kinds = {"enum": ["displayed", "clicked", "dismissed"]}
    event = {"token": {"type": "string"}, "event": kinds}
    many = {"type": "array", "maxItems": 100, "items": {"type": "object", "properties": event}}
    operation = _operation("What a visitor did with web messages.", {**event, "events": many})
    operation["security"] = []
    del operation["responses"]["401"]
    return operation


def _callback() -> dict[str, Any]:
    """No key: what a provider says is proved by its signature, or by the channel's token."""
    text = {"type": "string"}
    return {
        "summary": "What a channel's provider reports later; signed by the provider.",
        "parameters": [{"name": "channel", "in": "path", "required": True, "schema": text}],
        "requestBody": {"required": True, "content": {"*/*": {"schema": {}}}},
        "responses": {
            "200": {"description": "Committed; or known already."},
            **{str(status): _PROBLEM for status in (400, 403, 404, 413, 503)},
        },
    }


def _operation(summary: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "summary": summary,
        "security": [{"writeKey": []}],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"type": "object", "properties": properties}}
            },
        },
        "responses": {
            "200": {"description": "Durable: committed and fsynced."},
            **{str(status): _PROBLEM for status in (400, 401, 413, 429, 503)},
        },
    }


def _reading(summary: str, name: str, place: str) -> dict[str, Any]:
    return {
        "summary": summary,
        "security": [{"writeKey": []}],
        "parameters": [{"name": name, "in": place, "required": True, "schema": {"type": "string"}}],
        "responses": {"200": {"description": "OK"}, "401": _PROBLEM, "404": _PROBLEM},
    }
