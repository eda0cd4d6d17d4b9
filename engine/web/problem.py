"""How the API says no: RFC 9457 `application/problem+json`, with a detail a person can act on."""

from http import HTTPStatus
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

PROBLEM_JSON: Final = "application/problem+json"
_encode = msgspec.json.Encoder().encode


class Refusal(Exception):
    """A request that is answered with an error instead of a result.

    `field` is the dotted path of the part of the body that is wrong, where it is one part.
    `code` is one word for machines; `retry_after_seconds` becomes the header.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        field: str = "",
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.field = field
        self.retry_after_seconds = retry_after_seconds

    def answer(self) -> Response:
        """The response; `code` and `message` are what Segment's own clients log."""
        body: dict[str, Any] = {
            "type": f"urn:antiphon:problem:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "success": False,
            "code": self.code,
            "message": self.detail,
        }
        if self.field:
            body["field"] = self.field
        headers = {}
        if self.retry_after_seconds is not None:
            headers["Retry-After"] = str(self.retry_after_seconds)
        if self.status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = 'Basic realm="antiphon", charset="UTF-8"'
        return Response(_encode(body), self.status, headers, PROBLEM_JSON)


async def answer_refusal(_request: Request, refusal: Exception) -> Response:
    """The exception handler of the app."""
    assert isinstance(refusal, Refusal)
    return refusal.answer()


async def answer_unknown(request: Request, _error: Exception) -> Response:
    """404 and 405 in the same shape as every other error."""
    status = getattr(_error, "status_code", HTTPStatus.NOT_FOUND)
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"{request.method} is not possible at {request.url.path}."
        refusal = Refusal(status, "method", detail)
    elif status == HTTPStatus.NOT_FOUND:
        refusal = Refusal(status, "not_found", f"There is nothing at {request.url.path}.")
    else:
        refusal = Refusal(status, "http", str(getattr(_error, "detail", "Not possible.")))
    answer = refusal.answer()
    for name, value in (getattr(_error, "headers", None) or {}).items():
        answer.headers[name] = value
    return answer
