"""FakeAuth: an AuthClient whose service is in memory, and the verbs by which a test tells that what is so."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2

from auth_service_client.access_tokens import MAX_LIFE_SECONDS, BadToken
from auth_service_client.answers import Caller
from auth_service_client.client import AuthClient, UserId
from auth_service_client.errors import Unavailable
from auth_service_client.patterns import PATTERN
from auth_service_client.sync import SyncAuthClient
from auth_service_client.testing.clock import Clock
from auth_service_client.testing.decide import Given
from auth_service_client.testing.service import AUDIENCE, ISSUER, FakeService

Moment = datetime | timedelta


class _Client(AuthClient):
    """The client itself, but that it knows of logouts as one with local=True, and of the time as the test has it."""

    def __init__(self, service: FakeService) -> None:
        super().__init__(
            ISSUER,
            client_id="test",
            client_secret="test",  # noqa: S106  of nothing
            issuer=ISSUER,
            audience=AUDIENCE,
            retries=0,
            http=service,
        )
        self._service = service
        self._now = service.clock.timestamp

    async def verify(self, token: str | None) -> Caller:
        """As AuthClient."""
        self._raise_if_away()
        if token is None:
            raise BadToken("none")
        return self._service.read(token)

    async def ready(self, within: float = 10.0) -> None:
        """At once."""
        self._raise_if_away()

    def _raise_if_away(self) -> None:
        if self._service.away:
            raise Unavailable("temporarily_unavailable", "The test has the service fail.", retry_after=1)


class _SyncClient(SyncAuthClient):
    def __init__(self, service: FakeService) -> None:
        super().__init__(ISSUER)
        self._make = lambda: _Client(service)
        self._client = self._make()


class FakeAuth(_Client):
    """An AuthClient; `sync` is the SyncAuthClient beside it. `clock.move(hours=2)` is for both and for tokens."""

    def __init__(self) -> None:
        super().__init__(FakeService())
        self.sync: SyncAuthClient = _SyncClient(self._service)
        self._replaced: list[tuple[Any, dict[str, Any]]] = []

    @property
    def clock(self) -> Clock:
        return self._service.clock

    # --- who may do what

    def grant(self, user: UserId, pattern: str, *, until: Moment | None = None, starts: Moment | None = None) -> None:
        """`pattern`: `films:watch`, `films:*` or `*`. Moments are absolute, or from now on; a grant of before goes."""
        if not PATTERN.fullmatch(pattern):
            raise ValueError(f"{pattern!r} is no permission, nor resource:*")
        given = Given(pattern, self._moment(starts or timedelta()), None if until is None else self._moment(until))
        self._service.grants.setdefault(_uuid(user), {})[pattern] = given

    def revoke(self, user: UserId, pattern: str) -> None:
        """Raises KeyError where that was not granted."""
        del self._service.grants[_uuid(user)][pattern]

    def deactivate(self, user: UserId) -> None:
        """Their checks are denied as user_inactive, and their tokens are dead for good, as the service has it."""
        self._service.inactive.add(_uuid(user))
        self._service.ended |= self._service.sessions.get(_uuid(user), set())

    def activate(self, user: UserId) -> None:
        self._service.inactive.discard(_uuid(user))

    def remove_permission(self, permission: str) -> None:
        """From the catalogue, in which everything is that is written like one: denied as unknown_permission."""
        self._service.unknown.add(permission)

    def ask_for_second_factor(self, permission: str) -> None:
        """As the service does for a permission with `step_up`: see `token`."""
        self._service.asks_for_second_factor.add(permission)

    # --- tokens

    def token(
        self, user: UserId, *, session_id: UserId | None = None, second_factor: bool = False, expired: bool = False
    ) -> str:
        """An access token of a login. `second_factor`: it showed one just now."""
        user_id, session = _uuid(user), uuid4() if session_id is None else _uuid(session_id)
        self._service.sessions.setdefault(user_id, set()).add(session)
        if second_factor:
            self._service.second_factors[user_id, session] = self.clock.now
        return self._service.signer.sign(user_id, session, self._issued_at(expired))

    def service_token(self, *scopes: str, service: UserId | None = None, expired: bool = False) -> str:
        """Of another service's account."""
        account = uuid4() if service is None else _uuid(service)
        return self._service.signer.sign(account, uuid4(), self._issued_at(expired), scopes)

    def log_out(self, token: str) -> None:
        """Ends its session, with every other token of it."""
        self._service.ended.add(self._service.read(token).session_id)

    @property
    def issuer(self) -> str:
        return ISSUER

    @property
    def jwks(self) -> dict[str, Any]:
        """The public key, as the service publishes it, for whatever verifies tokens by itself."""
        return self._service.signer.jwks

    @property
    def http(self) -> httpx2.AsyncBaseTransport:
        """For a client of your own: `AuthClient(auth.issuer, issuer=auth.issuer, http=auth.http)`."""
        return self._service

    # --- the service itself

    def fail(self) -> None:
        """Until `recover()` every call raises Unavailable."""
        self._service.away = True

    def recover(self) -> None:
        self._service.away = False

    def stand_in_for(self, client: AuthClient | SyncAuthClient) -> None:
        """Your app's own client asks this service until `restore()`, which the fixture calls at the end of the test.

        So the routes that have it, by `require` or in a middleware, need not be built anew.
        """
        fake = _SyncClient(self._service) if isinstance(client, SyncAuthClient) else _Client(self._service)
        self._replaced.append((client, dict(client.__dict__)))
        client.__dict__.update(fake.__dict__)
        client.__dict__.update(_own_methods(fake))

    def restore(self) -> None:
        """Gives back what `stand_in_for` took, and ends `sync`."""
        while self._replaced:
            client, before = self._replaced.pop()
            if isinstance(client, SyncAuthClient):
                client.close()
            client.__dict__.clear()
            client.__dict__.update(before)
        self.sync.close()

    def _moment(self, given: Moment) -> datetime:
        return self.clock.now + given if isinstance(given, timedelta) else given

    def _issued_at(self, expired: bool) -> float:
        return self.clock.timestamp() - (2 * MAX_LIFE_SECONDS if expired else 0)


def _own_methods(fake: AuthClient | SyncAuthClient) -> dict[str, Any]:
    """What the fake has otherwise than the client: bound to it, and so to the service in memory."""
    return {"verify": fake.verify, "ready": fake.ready} if isinstance(fake, _Client) else {}


def _uuid(given: UserId) -> UUID:
    return given if isinstance(given, UUID) else UUID(given)
