"""Every event with the schema of its data; docs/events.md shows the same, a test holds the two equal.

An event holds ids, and beyond them only what its consumers need: no secret, and an address only where it is the point.
"""

from datetime import datetime
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


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
    """An account was registered, made by an admin or the operator, or imported; on a topic of its own."""

    kind = "new_user"
    username: str
    full_name: str | None
    created_at: datetime


class ProfileChanged(UserEvent):
    """The full name is another one, or none."""

    kind = "profile_changed"
    full_name: str | None


class LoginChanged(UserEvent):
    """The user logs in under another name."""

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
    """The account is gone, with its grants, sessions and devices: erase what you keep of it."""

    kind = "user_deleted"


# --- sessions and devices


class SessionStarted(UserEvent):
    """A login, or a step-up, which gives the session another id."""

    kind = "session_started"
    session_id: UUID
    device_id: UUID | None


class SessionEnded(UserEvent):
    """`reason`: logout, ended_by_user, ended_by_admin, session_limit, refresh_reuse, device_revoked, step_up."""

    kind = "session_ended"
    session_id: UUID
    reason: str


class SessionsEnded(UserEvent):
    """All of the user's sessions at once, but `kept_session_id` if there is one; `reason` is what ended them."""

    kind = "sessions_ended"
    reason: str
    kept_session_id: UUID | None


class RefreshTokenReused(UserEvent):
    """An old refresh token was shown: somebody has a copy. Its session has been ended (REF-3)."""

    kind = "refresh_token_reused"
    session_id: UUID


class DeviceAdded(UserEvent):
    """The first login from a device, or a password that was reset on it."""

    kind = "device_added"
    device_id: UUID


class DevicesRevoked(UserEvent):
    """These devices are strangers again."""

    kind = "devices_revoked"
    device_ids: list[UUID]


class AccountClosedToStrangers(UserEvent):
    """After too many failures in a row only known devices, the mailbox or an admin open the account (LOG-3)."""

    kind = "account_closed_to_strangers"


# --- the second factor


class MfaEnabled(UserEvent):
    """An authenticator was confirmed."""

    kind = "mfa_enabled"


class MfaDisabled(UserEvent):
    """By the user, with password and code."""

    kind = "mfa_disabled"


class MfaReset(UserEvent):
    """By an admin; `by` is none for a service account and the operator's command line."""

    kind = "mfa_reset"
    by: UUID | None


class RecoveryCodesRenewed(UserEvent):
    """The old set is void."""

    kind = "recovery_codes_renewed"


class RecoveryCodeUsed(UserEvent):
    """One of the ten stood in for the authenticator."""

    kind = "recovery_code_used"


# --- grants, roles, permissions, service accounts


class RoleGranted(UserEvent):
    """A new grant, or new dates of one. `by` is none for the system, a service account and the command line."""

    kind = "role_granted"
    role: str
    valid_from: datetime
    valid_until: datetime | None
    by: UUID | None


class RoleRevoked(UserEvent):
    """The grant is gone; one that runs out at `valid_until` has no event of its own."""

    kind = "role_revoked"
    role: str
    by: UUID | None


class RoleCreated(RoleEvent):
    """With what it gives."""

    kind = "role_created"
    title: str
    permissions: list[str]
    parents: list[str]
    session_limit: int | None
    by: UUID | None


class RoleChanged(RoleEvent):
    """As it is from now on."""

    kind = "role_changed"
    title: str
    permissions: list[str]
    parents: list[str]
    session_limit: int | None
    by: UUID | None


class RoleDeleted(RoleEvent):
    """Nobody had it any more."""

    kind = "role_deleted"
    by: UUID | None


class PermissionCreated(PermissionEvent):
    """A code was added to the catalogue."""

    kind = "permission_created"
    title: str
    step_up: bool


class PermissionChanged(PermissionEvent):
    """As it is from now on."""

    kind = "permission_changed"
    title: str
    step_up: bool


class PermissionDeleted(PermissionEvent):
    """The code is gone from the catalogue, for those too who had it by a wildcard."""

    kind = "permission_deleted"
    by: UUID | None


class ServiceCreated(ServiceEvent):
    """A service account with its scopes."""

    kind = "service_created"
    name: str
    scopes: list[str]
    by: UUID | None


class ServiceSecretAdded(ServiceEvent):
    """A new secret was made, which the event does not hold; the newest older one goes on working."""

    kind = "service_secret_added"
    expires_at: datetime | None
    by: UUID | None


class ServiceDeleted(ServiceEvent):
    """Its secrets and tokens are dead."""

    kind = "service_deleted"
    by: UUID | None


# --- webhooks


class WebhookCreated(WebhookEvent):
    """Events are sent to one more address, which the event does not hold; no `kinds`: all of them."""

    kind = "webhook_created"
    kinds: list[str]
    by: UUID | None


class WebhookChanged(WebhookEvent):
    """As it is from now on; perhaps at another address."""

    kind = "webhook_changed"
    kinds: list[str]
    enabled: bool
    by: UUID | None


class WebhookSecretRotated(WebhookEvent):
    """It has a new secret, which the event does not hold; the former one signs too for 24 hours."""

    kind = "webhook_secret_rotated"
    by: UUID | None


class WebhookDisabled(WebhookEvent):
    """By the service: the receiver has failed for three days (`failed`), or has said that it is gone (`gone`)."""

    kind = "webhook_disabled"
    reason: str


class WebhookDeleted(WebhookEvent):
    """Nothing is sent there any more."""

    kind = "webhook_deleted"
    by: UUID | None


def _leaves(base: type[Event]) -> list[type[Event]]:
    return [leaf for child in base.__subclasses__() for leaf in ([child] if "kind" in vars(child) else _leaves(child))]


KINDS: dict[str, type[Event]] = {event.kind: event for event in _leaves(Event)}


def _known(value: str) -> str:
    if value not in KINDS:
        raise ValueError("must be a kind of docs/events.md")
    return value


Kind = Annotated[str, Field(json_schema_extra={"enum": sorted(KINDS)}), AfterValidator(_known)]
