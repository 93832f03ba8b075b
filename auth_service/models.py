"""The whole schema on one page; Alembic's migrations build it, a test holds the two equal."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Computed,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    MetaData,
    Sequence,
    SmallInteger,
    Text,
    UniqueConstraint,
    event,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, INET, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from uuid_utils import compat

from auth_service.triggers import TRIGGERS


def new_id() -> UUID:
    """A UUID version 7 (RFC 9562): unique, and in the order of creation."""
    return compat.uuid7()


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: DateTime(timezone=True), str: Text, int: BigInteger}


class User(Base):
    """`login_key` and `email_key` are the canonical forms that uniqueness and login go by (REG-2, REG-3).

    `email` has its domain in ASCII, for mail servers; `mail.addresses.shown` writes it for people.
    """

    __tablename__ = "users"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    login: Mapped[str]
    login_key: Mapped[str] = mapped_column(unique=True)
    email: Mapped[str]
    email_key: Mapped[str] = mapped_column(unique=True)
    full_name: Mapped[str | None]
    email_verified_at: Mapped[datetime | None]
    password_hash: Mapped[str]
    is_active: Mapped[bool] = mapped_column(server_default=text("true"), default=True)
    # Raised by one to end every access token of the user at once; a counter needs no clock (OUT-3).
    epoch: Mapped[int] = mapped_column(server_default=text("0"), default=0)
    # Raised with whatever ends sessions: a login that began before it must not start one after it.
    credentials_version: Mapped[int] = mapped_column(server_default=text("0"), default=0)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())

    @property
    def email_verified(self) -> bool:
        return self.email_verified_at is not None


class LoginLook(Base):
    """What a login looks like, by `users.look_alikes`; none: code of an older version wrote the login.

    `claimed`: nobody else's looked like it when it was taken, and no other claimed one may.
    """

    __tablename__ = "login_looks"
    __table_args__ = (Index("uq_login_looks_claimed", "look", unique=True, postgresql_where=text("claimed")),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    look: Mapped[str | None] = mapped_column(index=True)
    claimed: Mapped[bool] = mapped_column(server_default=text("false"), default=False)


class Permission(Base):
    """One `resource:action` code that a service may ask about."""

    __tablename__ = "permissions"
    __table_args__ = (CheckConstraint(r"code ~ '^[a-z][a-z0-9-]*:[a-z][a-z0-9-]*$'", name="code"),)

    code: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str]
    description: Mapped[str] = mapped_column(server_default="", default="")
    # Whether having it is not enough: the session must have shown a second factor a short time ago.
    step_up: Mapped[bool] = mapped_column(server_default=text("false"), default=False)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Role(Base):
    """The name is the key and never changes; the title is for people."""

    __tablename__ = "roles"
    __table_args__ = (
        CheckConstraint(r"name ~ '^[a-z][a-z0-9-]{1,63}$'", name="name"),
        CheckConstraint("session_limit BETWEEN 1 AND 1000", name="session_limit"),
    )

    name: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str]
    description: Mapped[str] = mapped_column(server_default="", default="")
    built_in: Mapped[bool] = mapped_column(Boolean, server_default=text("false"), default=False)
    # How many sessions its holders may have at once; none: what the parents say, else the setting.
    session_limit: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())


class RolePermission(Base):
    """`pattern` is a code, `resource:*`, or `*`; a plain code must stand in the catalogue."""

    __tablename__ = "role_permissions"

    role_name: Mapped[str] = mapped_column(ForeignKey("roles.name", ondelete="CASCADE"), primary_key=True)
    pattern: Mapped[str] = mapped_column(primary_key=True)
    code: Mapped[str | None] = mapped_column(
        ForeignKey("permissions.code", ondelete="RESTRICT"),
        Computed("CASE WHEN pattern LIKE '%*' THEN NULL ELSE pattern END", persisted=True),
        index=True,
    )


class RoleParent(Base):
    """A role has all that its parents have."""

    __tablename__ = "role_parents"
    __table_args__ = (CheckConstraint("role_name <> parent_name", name="not_itself"),)

    role_name: Mapped[str] = mapped_column(ForeignKey("roles.name", ondelete="CASCADE"), primary_key=True)
    parent_name: Mapped[str] = mapped_column(
        ForeignKey("roles.name", ondelete="RESTRICT"), primary_key=True, index=True
    )


class UserRole(Base):
    """A grant: valid from `valid_from` (inclusive) until `valid_until` (exclusive; none: for ever)."""

    __tablename__ = "user_roles"
    __table_args__ = (
        CheckConstraint("valid_until > valid_from", name="ends_after_start"),
        # Each is an order in which grants are listed, so that a page is read from where it begins.
        Index(None, "role_name", "user_id"),
        Index(None, "granted_by", "user_id", "role_name"),
        Index(None, "valid_from", "user_id", "role_name"),
        Index(None, "valid_until", "user_id", "role_name"),
    )

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    role_name: Mapped[str] = mapped_column(ForeignKey("roles.name", ondelete="RESTRICT"), primary_key=True)
    valid_from: Mapped[datetime] = mapped_column(server_default=func.now())
    valid_until: Mapped[datetime | None]
    granted_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    granted_at: Mapped[datetime] = mapped_column(server_default=func.now())
    reason: Mapped[str | None]


class GrantJob(Base):
    """One role for many users, or from them, by `admin.grant_work`; asked for by a user, a service or an operator.

    `scopes` are those of a service's token. `done`: of that many rows, in their order, every worker has heard; `counts`
    is how they came out. `stopping`: no more rows, whatever the state says yet.
    """

    __tablename__ = "grant_jobs"
    __table_args__ = (
        CheckConstraint("act IN ('grant', 'revoke')", name="act"),
        CheckConstraint("state IN ('queued', 'running', 'done', 'cancelled', 'failed')", name="state"),
        Index("ix_grant_jobs_open", "id", postgresql_where=text("finished_at IS NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    act: Mapped[str]
    role: Mapped[str]  # no foreign key: a role that is deleted meanwhile ends the job, the job keeps no role
    valid_from: Mapped[datetime | None]
    valid_until: Mapped[datetime | None]
    reason: Mapped[str | None]
    asked_by_kind: Mapped[str]
    asked_by_id: Mapped[str]
    scopes: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    request_id: Mapped[str | None]
    client_address: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
    state: Mapped[str] = mapped_column(server_default="queued", default="queued")
    stopping: Mapped[bool] = mapped_column(server_default=text("false"), default=False)
    failure_code: Mapped[str | None]
    failure_detail: Mapped[str | None]
    total: Mapped[int]
    done: Mapped[int] = mapped_column(server_default=text("0"), default=0)
    counts: Mapped[dict[str, int]] = mapped_column(JSONB, server_default=text("'{}'"), default=dict)
    finished_at: Mapped[datetime | None]


class GrantJobRow(Base):
    """One user of a job; `number` counts from 1. `name` as it was given, none of a filter's and of an erased user.

    Without `user_id` nobody has the name, or nobody any more; it is no foreign key, which would lock each user of a
    large job. `outcome` is none while the row waits.
    """

    __tablename__ = "grant_job_rows"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("grant_jobs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None]
    user_id: Mapped[UUID | None] = mapped_column(index=True)
    outcome: Mapped[str | None]


class Device(Base):
    """One that its user has logged in from; deleting the row is what revokes it.

    While `trusted_until` lies ahead, a login from it needs no second factor.
    """

    __tablename__ = "devices"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary)
    name: Mapped[str | None]
    user_agent: Mapped[str | None]
    ip: Mapped[str | None] = mapped_column(INET)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_seen_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
    trusted_until: Mapped[datetime | None]


class Session(Base):
    """The record of a session; Redis referees its refresh token family, this row has the last word."""

    __tablename__ = "sessions"
    __table_args__ = (
        Index("ix_sessions_live", "user_id", "last_seen_at", postgresql_where=text("revoked_at IS NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    generation: Mapped[int] = mapped_column(server_default=text("0"), default=0)
    device_id: Mapped[UUID | None] = mapped_column(ForeignKey("devices.id", ondelete="SET NULL"), index=True)
    # When the user last showed the password or a code in it, and when a code; what is sensitive asks how long ago.
    authenticated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    second_factor_at: Mapped[datetime | None]
    device_name: Mapped[str | None]
    user_agent: Mapped[str | None]
    ip: Mapped[str | None] = mapped_column(INET)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    rotated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    revoked_reason: Mapped[str | None]


class LoginHistory(Base):
    """Partitioned by month of login_at; the partitions themselves are made by `sessions.partitions`.

    `user_id` is no foreign key: taking a month off would lock the users.
    """

    __tablename__ = "login_history"
    __table_args__ = (
        Index("ix_login_history_user", "user_id", text("login_at DESC"), text("id DESC")),
        {"postgresql_partition_by": "RANGE (login_at)"},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    login_at: Mapped[datetime] = mapped_column(primary_key=True, server_default=func.now())
    user_id: Mapped[UUID | None]  # none: unknown login
    succeeded: Mapped[bool]
    reason: Mapped[str | None]
    session_id: Mapped[UUID | None]
    device_id: Mapped[UUID | None]
    device_name: Mapped[str | None]
    user_agent: Mapped[str | None]
    ip: Mapped[str | None] = mapped_column(INET)


class LoginAttempts(Base):
    """Failures that spend a budget, by what `users.attempts` keys them.

    `failures`: those of the present window; `unbroken`: those since the last success, however long ago.
    """

    __tablename__ = "login_attempts"

    key: Mapped[str] = mapped_column(primary_key=True)
    failures: Mapped[int]
    unbroken: Mapped[int] = mapped_column(server_default=text("0"), default=0)
    last_at: Mapped[datetime] = mapped_column(index=True)


class Totp(Base):
    """A user's authenticator: pending until `confirmed_at`; `last_step` is the newest time step that was used."""

    __tablename__ = "mfa_totp"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    sealed_secret: Mapped[bytes] = mapped_column(LargeBinary)
    last_step: Mapped[int] = mapped_column(server_default=text("0"), default=0)
    misses: Mapped[int] = mapped_column(server_default=text("0"), default=0)  # wrong codes in a row
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    confirmed_at: Mapped[datetime | None]


class RecoveryCode(Base):
    """`finder` is the code's beginning, the rest is kept as a password hash."""

    __tablename__ = "mfa_recovery_codes"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    finder: Mapped[str] = mapped_column(primary_key=True)
    code_hash: Mapped[str]
    used_at: Mapped[datetime | None]


class LoginChallenge(Base):
    """The password was right, the second factor is due; good for that and nothing else (LOG-8)."""

    __tablename__ = "login_challenges"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary)
    credentials_version: Mapped[int] = mapped_column(server_default=text("0"), default=0)
    device_id: Mapped[UUID | None] = mapped_column(ForeignKey("devices.id", ondelete="CASCADE"), index=True)
    device_name: Mapped[str | None]
    tries: Mapped[int] = mapped_column(server_default=text("0"), default=0)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None]


class MailedToken(Base):
    """What a link in a mail carries: one purpose, one use; of its text only a hash is kept.

    `user_id` is none where a link was asked for an address that nobody has: that costs the same, and opens nothing.
    """

    __tablename__ = "mailed_tokens"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    purpose: Mapped[str]
    email_key: Mapped[str]  # the address that it was sent to
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None]


class EmailChange(Base):
    """A new address that waits until both ends, the old and the new one, have confirmed it."""

    __tablename__ = "email_changes"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    email: Mapped[str]
    email_key: Mapped[str]
    old_confirmed_at: Mapped[datetime | None]
    new_confirmed_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]


class Mail(Base):
    """The outbox: written with the change it tells of, sent by `mail.delivery`; `sealed` holds address and text."""

    __tablename__ = "mails"
    __table_args__ = (Index("ix_mails_due", "send_at", postgresql_where=text("sent_at IS NULL")),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str]
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    tries: Mapped[int] = mapped_column(server_default=text("0"), default=0)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    send_at: Mapped[datetime] = mapped_column(server_default=func.now())
    sent_at: Mapped[datetime | None]


class Outbox(Base):
    """Events, written with the change they tell of; `events.relay` publishes them.

    `number` is given at the insert, before the commit; `position` later, in the order of commits, and readers go by it.
    `user_id` is no foreign key: that a user was deleted is an event too.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        Index("ix_outbox_unnumbered", "number", postgresql_where=text("position IS NULL")),
        Index(
            "ix_outbox_unsent",
            "bucket",
            "position",
            postgresql_where=text("sent_at IS NULL AND parked_at IS NULL"),
        ),
        Index("ix_outbox_parked", "position", postgresql_where=text("parked_at IS NOT NULL")),
    )

    number: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    id: Mapped[UUID]
    kind: Mapped[str]
    key: Mapped[str]
    bucket: Mapped[int] = mapped_column(SmallInteger)
    user_id: Mapped[UUID | None] = mapped_column(index=True)
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(index=True)
    position: Mapped[int | None] = mapped_column(unique=True)
    tries: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"), default=0)
    sent_at: Mapped[datetime | None]
    parked_at: Mapped[datetime | None]


class WebhookEndpoint(Base):
    """An address that events are sent to; it has had all up to `position`, and beyond it those in `ahead`.

    While `previous_secret_until` lies ahead, the previous secret signs too. `tries` are failures in a row.
    """

    __tablename__ = "webhook_endpoints"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    url: Mapped[str]
    description: Mapped[str] = mapped_column(server_default="", default="")
    kinds: Mapped[list[str]] = mapped_column(ARRAY(Text))  # none: all
    enabled: Mapped[bool] = mapped_column(server_default=text("true"), default=True)
    disabled_reason: Mapped[str | None]
    sealed_secret: Mapped[bytes] = mapped_column(LargeBinary)
    previous_sealed_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    previous_secret_until: Mapped[datetime | None]
    position: Mapped[int]
    ahead: Mapped[list[int]] = mapped_column(ARRAY(BigInteger), server_default=text("'{}'"), default=list)
    tries: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"), default=0)
    failing_since: Mapped[datetime | None]
    next_try_at: Mapped[datetime | None]
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class WebhookDelivery(Base):
    """One attempt; of each endpoint only the last are kept. `event_id` is no foreign key: events go first."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (Index(None, "endpoint_id", "number"),)

    number: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    endpoint_id: Mapped[UUID] = mapped_column(ForeignKey("webhook_endpoints.id", ondelete="CASCADE"))
    event_id: Mapped[UUID]
    kind: Mapped[str]
    at: Mapped[datetime]
    status: Mapped[int | None] = mapped_column(SmallInteger)
    error: Mapped[str | None]
    milliseconds: Mapped[int]


OUTBOX_POSITION = Sequence("outbox_position", metadata=Base.metadata)


class Denial(Base):
    """The record behind the denylist in Redis: what it must hold again after Redis lost its memory."""

    __tablename__ = "denials"
    __table_args__ = (Index("ix_denials_subject", text("split_part(key, '}', 1)")),)

    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[int]
    recorded_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class StoreGeneration(Base):
    """One row: the random value that Redis must show, else it was flushed or restarted empty."""

    __tablename__ = "store_generation"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, default=1)
    generation: Mapped[UUID]


class SigningKey(Base):
    """`private_pem` is sealed (AES-GCM); a key signs from `signs_from`, and verifies until `retires_at`."""

    __tablename__ = "signing_keys"

    kid: Mapped[str] = mapped_column(primary_key=True)
    private_pem: Mapped[bytes] = mapped_column(LargeBinary)
    public_jwk: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    signs_from: Mapped[datetime]
    retires_at: Mapped[datetime | None]


class ServiceAccount(Base):
    """Another cinema service; `scopes` are permission codes or patterns."""

    __tablename__ = "service_accounts"
    __table_args__ = (UniqueConstraint("name"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str]
    description: Mapped[str] = mapped_column(server_default="", default="")
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ServiceSecret(Base):
    """SHA-256 of a 256-bit random secret: nothing to guess, so no slow hash is needed."""

    __tablename__ = "service_secrets"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    service_id: Mapped[UUID] = mapped_column(ForeignKey("service_accounts.id", ondelete="CASCADE"), index=True)
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]


class AuditLog(Base):
    """What admins did, written by `audit.trail` alone; a trigger refuses every change of a row (AUD-4).

    No foreign keys: rows outlive whom they name, and hold nothing of them but ids.
    """

    __tablename__ = "audit_log"
    __table_args__ = (
        Index(None, "actor_id", "id"),
        Index(None, "target_id", "id"),
        Index(None, "action", "id"),
        Index(None, "at", "id"),
        # What grants of a role were before they were changed: permissions.then_sql has the same words.
        Index(
            "ix_audit_log_role_before",
            text("(coalesce(after, before) ->> 'role')"),
            "target_id",
            "id",
            postgresql_where=text("action IN ('role.granted', 'role.revoked') AND before IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # 1, 2, 3, …: a gap is a theft
    at: Mapped[datetime]
    actor_kind: Mapped[str]
    actor_id: Mapped[str]
    action: Mapped[str]
    target_kind: Mapped[str]
    target_id: Mapped[str | None]
    before: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    after: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    reason: Mapped[str | None]
    request_id: Mapped[str | None]
    client_address: Mapped[str | None]
    hash: Mapped[bytes] = mapped_column(LargeBinary)


for _table, _statements in TRIGGERS.items():
    for _statement in _statements:
        event.listen(Base.metadata.tables[_table], "after_create", DDL(_statement))  # type: ignore[no-untyped-call]
