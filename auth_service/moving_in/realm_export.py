"""Keycloak's export of a realm, whole or a file of its users: accounts, hashes, realm roles, authenticators."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

from pydantic import BaseModel, Json, ValidationError

from auth_service.core.passwords.foreign_hashes import of_keycloak
from auth_service.mfa.totp import seed_of
from auth_service.moving_in.newcomers import Draft, Plan, in_words, shown

# Every realm has them, and they say nothing of what somebody may do here.
_OF_EVERY_REALM = ("default-roles-", "offline_access", "uma_authorization")
_KNOWN_CREDENTIALS = {"password", "otp"}


class _Credential(BaseModel):
    """The data are JSON within a text, of a form that depends on the type; both are read when it is known."""

    type: str
    credentialData: Json[dict[str, Any]] = {}
    secretData: Json[dict[str, Any]] = {}


class _User(BaseModel):
    username: str | None = None
    email: str | None = None
    emailVerified: bool = False
    enabled: bool = True
    firstName: str | None = None
    lastName: str | None = None
    createdTimestamp: int | None = None  # milliseconds
    credentials: list[_Credential] = []
    realmRoles: list[str] = []
    requiredActions: list[str] = []
    serviceAccountClientId: str | None = None
    # What is not taken over, and is told.
    groups: list[Any] = []
    clientRoles: dict[str, Any] = {}
    federatedIdentities: list[Any] = []
    attributes: dict[str, Any] = {}


class _PasswordData(BaseModel):
    algorithm: str
    hashIterations: int
    additionalParameters: dict[str, list[str]] = {}


class _PasswordSecret(BaseModel):
    value: str
    salt: str


class _OtpData(BaseModel):
    """What `mfa.totp` verifies, and nothing else."""

    subType: Literal["totp"] = "totp"
    digits: Literal[6] = 6
    period: Literal[30] = 30
    algorithm: Literal["HmacSHA1"] = "HmacSHA1"
    secretEncoding: str | None = None


class _OtpSecret(BaseModel):
    value: str


def read_realm(plan: Plan, content: Mapping[str, Any]) -> None:
    users = content.get("users")
    if not isinstance(users, list):
        plan.problems.append("there are no users in this file: export the realm with --users realm_file or same_file")
        return
    for number, user in enumerate(users, 1):
        place = f"user {number}"
        plan.add(place, partial(_draft, plan, place, user))


def _draft(plan: Plan, place: str, content: Any) -> Draft | None:
    """None for what is not a person's account."""
    try:
        user = _User.model_validate(content)
    except ValidationError as error:
        raise ValueError(in_words(error)) from None
    if user.serviceAccountClientId:
        plan.left["accounts of clients"] += 1
        return None
    _say_what_stays(plan, user)
    return Draft(
        login=user.username or "",
        email=user.email or "",
        full_name=" ".join(name for name in (user.firstName, user.lastName) if name),
        password_hash=_password(user.credentials),
        roles=tuple(name for name in user.realmRoles if not name.startswith(_OF_EVERY_REALM)),
        email_verified=user.emailVerified,
        is_active=user.enabled,
        created_at=_created(user.createdTimestamp),
        seed=_seed(plan, place, user.credentials),
    )


def _say_what_stays(plan: Plan, user: _User) -> None:
    plan.left.update(f"required action {shown(action)}" for action in user.requiredActions)
    kinds = {credential.type for credential in user.credentials} - _KNOWN_CREDENTIALS
    plan.left.update(f"credential {shown(kind)}" for kind in kinds)
    beside = {
        "groups": user.groups,
        "client roles": user.clientRoles,
        "federated identities": user.federatedIdentities,
        "attributes": user.attributes,
    }
    plan.left.update(name for name, values in beside.items() if values)


def _password(credentials: list[_Credential]) -> str:
    found = next((credential for credential in credentials if credential.type == "password"), None)
    if found is None:
        return ""
    try:
        data = _PasswordData.model_validate(found.credentialData)
        secret = _PasswordSecret.model_validate(found.secretData)
    except ValidationError as error:
        raise ValueError(f"its password's {in_words(error)}") from None
    try:
        return of_keycloak(data.algorithm, data.hashIterations, secret.value, secret.salt, data.additionalParameters)
    except ValueError as error:
        raise ValueError(f"its password {error}") from None


def _seed(plan: Plan, place: str, credentials: list[_Credential]) -> str | None:
    """Of the first authenticator that shows codes as we verify them; each other one is a remark."""
    seeds = []
    for credential in credentials:
        if credential.type == "otp":
            try:
                seeds.append(_one_seed(credential))
            except ValueError as error:
                plan.remarks.append(f"{place}: comes without an authenticator {error}")
    if len(seeds) > 1:
        plan.remarks.append(f"{place}: has several authenticators and keeps the first")
    return seeds[0] if seeds else None


def _one_seed(credential: _Credential) -> str:
    try:
        data = _OtpData.model_validate(credential.credentialData)
        secret = _OtpSecret.model_validate(credential.secretData)
    except ValidationError as error:
        raise ValueError(f"whose {in_words(error)}") from None
    encoding = (data.secretEncoding or "").upper()
    if encoding not in {"", "BASE32"}:
        raise ValueError("whose secretEncoding is not known")
    # The text itself is the key, unless it says that it is written in base32.
    return seed_of(secret.value, encoded=encoding == "BASE32")


def _created(milliseconds: int | None) -> datetime | None:
    try:
        return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        raise ValueError("createdTimestamp is no time") from None
