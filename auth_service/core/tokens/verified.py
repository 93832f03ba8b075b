"""Tokens whose signature was found right: checking it again with each request is a fifth of what a check costs."""

from auth_service.core.tokens.access_tokens import AccessClaims

MOST = 4096  # a megabyte for each thousand, and as many again of the generation before


class Verified:
    """Only what no time and nobody's act can change. Whether the token has expired, whether its key still counts and
    whether it was revoked is asked with each request.

    Two generations, so that what is in use stays without being moved at every look: what was not seen while MOST
    others were goes.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._young: dict[str, tuple[str, AccessClaims]] = {}
        self._old: dict[str, tuple[str, AccessClaims]] = {}

    def find(self, token: str) -> tuple[str, AccessClaims] | None:
        """Key id and claims."""
        found = self._young.get(token)
        if found is None and (found := self._old.get(token)) is not None:
            self.keep(token, *found)
        return found

    def keep(self, token: str, kid: str, claims: AccessClaims) -> None:
        if len(self._young) >= self._most:
            self._old, self._young = self._young, {}
        self._young[token] = (kid, claims)

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())
