"""Every event with the schema of its data; docs/events.md shows the same, a test holds the two equal.

An event holds ids, and beyond them only what its consumers need: no secret, and an address only where it is the point.
"""

from datetime import datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from typing_extensions import TypeAliasType


class Event(BaseModel):
    """`key` is what events are kept in order by: the user's id, or what else the event is about."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str]

    @property
    def key(self) -> str:
        raise NotImplementedError

    @property
    def about_user(self) -> UUID | None:
        return None


class UserEvent(Event):
    user_id: UUID

    @property
    def key(self) -> str:
        return str(self.user_id)

    @property
    def about_user(self) -> UUID | None:
        return self.user_id


class RoleEvent(Event):
    role: str

    @property
    def key(self) -> str:
        return f"role:{self.role}"


class PermissionEvent(Event):
    permission: str

    @property
    def key(self) -> str:
        return f"permission:{self.permission}"


class ServiceEvent(Event):
    service_id: UUID

    @property
    def key(self) -> str:
        return f"service:{self.service_id}"


class WebhookEvent(Event):
    webhook_id: UUID

    @property
    def key(self) -> str:
        return f"webhook:{self.webhook_id}"


# --- users


class NewUser(UserEvent):
    """An account was registered, made by an admin or the operator, or imported. It has a topic of its own."""

    kind = "new_user"
    username: str
    full_name: str | None
    created_at: datetime


class ProfileChanged(UserEvent):
    """The full name was changed or removed."""

    kind = "profile_changed"
    full_name: str | None


class LoginChanged(UserEvent):
    """The login was changed."""

    kind = "login_changed"
    username: str


class EmailChanged(UserEvent):
    """Both mailboxes have confirmed the new address, or the old one never had been confirmed.

    Or an admin has set it: then it is unconfirmed until `email_verified`.
    """

    kind = "email_changed"
    email: str


class EmailVerified(UserEvent):
    """The mailbox of the account's address has confirmed it."""

    kind = "email_verified"


class PasswordChanged(UserEvent):
    """`how`: changed (by the user), reset (by a mailed link), set_by_operator."""

    kind = "password_changed"
    how: str


class UserDeactivated(UserEvent):
    """The account is disabled: no login, and no permission."""

    kind = "user_deactivated"


class UserActivated(UserEvent):
    """The account may log in again."""

    kind = "user_activated"


class UserDeleted(UserEvent):
    """The account was deleted, with its grants, sessions and devices: erase what you keep of it."""

    kind = "user_deleted"


# --- sessions and devices


class SessionStarted(UserEvent):
    """A session began: by a login, or by a step-up, which gives the session another id."""

    kind = "session_started"
    session_id: UUID
    device_id: UUID | None


class SessionEnded(UserEvent):
    """`reason`: logout, ended_by_user, ended_by_admin, session_limit, refresh_reuse, device_revoked, step_up."""

    kind = "session_ended"
    session_id: UUID
    reason: str


class SessionsEnded(UserEvent):
    """All sessions of the user ended at once, except `kept_session_id` if given; `reason` says what ended them."""

    kind = "sessions_ended"
    reason: str
    kept_session_id: UUID | None


class RefreshTokenReused(UserEvent):
    """An old refresh token was presented: somebody has a copy. Its session was ended (REF-3)."""

    kind = "refresh_token_reused"
    session_id: UUID


class DeviceAdded(UserEvent):
    """The first login from a device, or a password that was reset on it."""

    kind = "device_added"
    device_id: UUID


class DevicesRevoked(UserEvent):
    """These devices are no longer known."""

    kind = "devices_revoked"
    device_ids: list[UUID]


class AccountClosedToStrangers(UserEvent):
    """After too many failed logins in a row, only a known device, the mailbox or an admin can open the account
    (LOG-3).
    """

    kind = "account_closed_to_strangers"


# --- the second factor


class MfaEnabled(UserEvent):
    """An authenticator was confirmed."""

    kind = "mfa_enabled"


class MfaDisabled(UserEvent):
    """The user turned the second factor off, with password and code."""

    kind = "mfa_disabled"


class MfaReset(UserEvent):
    """An admin removed the second factor. `by` is null for a service account and the operator's command line."""

    kind = "mfa_reset"
    by: UUID | None


class RecoveryCodesRenewed(UserEvent):
    """New recovery codes were made; the old ones no longer work."""

    kind = "recovery_codes_renewed"


class RecoveryCodeUsed(UserEvent):
    """A recovery code was used in place of the authenticator."""

    kind = "recovery_code_used"


# --- grants, roles, permissions, service accounts


class RoleGranted(UserEvent):
    """A role was granted, or the dates of a grant were changed. `by` is null for the system, a service account and the
    command line.
    """

    kind = "role_granted"
    role: str
    valid_from: datetime
    valid_until: datetime | None
    by: UUID | None


class RoleRevoked(UserEvent):
    """A grant was revoked. A grant that runs out at `valid_until` has no event of its own."""

    kind = "role_revoked"
    role: str
    by: UUID | None


class RoleCreated(RoleEvent):
    """A role was created; the fields say what it gives."""

    kind = "role_created"
    title: str
    permissions: list[str]
    parents: list[str]
    session_limit: int | None
    by: UUID | None


class RoleChanged(RoleEvent):
    """It was changed; the fields say what it is from now on."""

    kind = "role_changed"
    title: str
    permissions: list[str]
    parents: list[str]
    session_limit: int | None
    by: UUID | None


class RoleDeleted(RoleEvent):
    """A role was deleted, after nobody had it any more."""

    kind = "role_deleted"
    by: UUID | None


class PermissionCreated(PermissionEvent):
    """A permission was added to the catalogue."""

    kind = "permission_created"
    title: str
    step_up: bool


class PermissionChanged(PermissionEvent):
    """It was changed; the fields say what it is from now on."""

    kind = "permission_changed"
    title: str
    step_up: bool


class PermissionDeleted(PermissionEvent):
    """A permission was removed from the catalogue, also for everyone who had it through a wildcard."""

    kind = "permission_deleted"
    by: UUID | None


class ServiceCreated(ServiceEvent):
    """A service account was created, with these scopes."""

    kind = "service_created"
    name: str
    scopes: list[str]
    by: UUID | None


class ServiceSecretAdded(ServiceEvent):
    """A new secret was made; the event does not contain it. The newest older one still works."""

    kind = "service_secret_added"
    expires_at: datetime | None
    by: UUID | None


class ServiceDeleted(ServiceEvent):
    """A service account was deleted; its secrets and tokens no longer work."""

    kind = "service_deleted"
    by: UUID | None


# --- webhooks


class WebhookCreated(WebhookEvent):
    """A webhook was registered; the event does not contain its address. Without `kinds` it gets all events."""

    kind = "webhook_created"
    kinds: list[str]
    by: UUID | None


class WebhookChanged(WebhookEvent):
    """A webhook was changed, perhaps its address; the fields say what it is from now on."""

    kind = "webhook_changed"
    kinds: list[str]
    enabled: bool
    by: UUID | None


class WebhookSecretRotated(WebhookEvent):
    """A webhook got a new secret; the event does not contain it. The old one signs as well for 24 hours."""

    kind = "webhook_secret_rotated"
    by: UUID | None


class WebhookDisabled(WebhookEvent):
    """The service disabled a webhook: its receiver failed for three days (`failed`) or said it is gone (`gone`)."""

    kind = "webhook_disabled"
    reason: str


class WebhookDeleted(WebhookEvent):
    """A webhook was deleted; nothing is sent there any more."""

    kind = "webhook_deleted"
    by: UUID | None


def _leaves(base: type[Event]) -> list[type[Event]]:
    return [leaf for child in base.__subclasses__() for leaf in ([child] if "kind" in vars(child) else _leaves(child))]


KINDS: dict[str, type[Event]] = {event.kind: event for event in _leaves(Event)}


def _known(value: str) -> str:
    if value not in KINDS:
        raise ValueError("must be a kind of docs/events.md")
    return value


def _of_kinds(schema: dict[str, Any]) -> None:
    schema["enum"] = sorted(KINDS)


EventKind = TypeAliasType("EventKind", Annotated[str, Field(json_schema_extra=_of_kinds), AfterValidator(_known)])
