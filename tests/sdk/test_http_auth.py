"""The token out of a header, and errors as answers."""

import pytest
from auth_service_client import AuthServiceError, Denied, InvalidRequest, InvalidToken, NotAllowed, Unavailable
from auth_service_client.http_auth import answer_of, bearer_token


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abc.def-_~+/==", "abc.def-_~+/=="),
        ("bearer abc", "abc"),
        ("  Bearer abc  ", "abc"),
        (None, None),
        ("", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("abc", None),
        ("Basic abc", None),
        ("Bearer abc def", None),
        ("Bearer abc, Bearer def", None),
        ("Bearer\tabc", None),
        ("Bearer abcé", None),
        ("Bearer abc\nx", None),
    ],
)
def test_the_token_of_a_header(header: str | None, token: str | None) -> None:
    assert bearer_token(header) == token


@pytest.mark.parametrize(
    ("error", "status", "body", "headers"),
    [
        (
            InvalidToken("not_authenticated", "A valid access token is needed."),
            401,
            {"error": "not_authenticated", "detail": "A valid access token is needed."},
            {"WWW-Authenticate": 'Bearer error="invalid_token"'},
        ),
        (
            Denied("permission_denied", "It takes films:watch.", reason="grant_expired"),
            403,
            {"error": "permission_denied", "detail": "It takes films:watch.", "reason": "grant_expired"},
            {"WWW-Authenticate": 'Bearer error="insufficient_scope"'},
        ),
        (
            Denied("permission_denied", "No scope."),
            403,
            {"error": "permission_denied", "detail": "No scope."},
            {"WWW-Authenticate": 'Bearer error="insufficient_scope"'},
        ),
    ],
    ids=["invalid", "denied", "denied without a reason"],
)
def test_an_error_of_the_caller(
    error: AuthServiceError, status: int, body: dict[str, str], headers: dict[str, str]
) -> None:
    assert answer_of(error) == (status, body, headers)


@pytest.mark.parametrize(
    ("error", "retry_after"),
    [
        (Unavailable("unreachable", "http://auth.internal:8000 did not answer"), "1"),
        (Unavailable("temporarily_unavailable", "x", retry_after=2.4), "3"),
        (NotAllowed("permission_denied", "the scope of auth.internal is missing"), "1"),
        (InvalidRequest("bad_id", "auth.internal"), "1"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_ours_is_told_to_nobody(error: AuthServiceError, retry_after: str) -> None:
    status, body, headers = answer_of(error)
    assert (status, headers) == (503, {"Retry-After": retry_after})
    assert body.keys() == {"error", "detail"}
    assert "internal" not in str(body)
