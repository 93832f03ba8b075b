"""Django's `dumpdata auth.user`: accounts and hashes; groups as roles, by natural keys or with `auth.group` beside."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from pydantic import BaseModel, ValidationError

from auth_service.moving_in.newcomers import Draft, Plan, in_words, moment

_UNUSABLE = "!"  # begins the password of an account that has none


class _Item(BaseModel):
    model: str
    pk: Any = None
    fields: dict[str, Any]


class _Fields(BaseModel):
    """Of `auth.user`; another model may lack some."""

    password: str
    email: str | None
    username: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    is_active: bool = True
    date_joined: str | None = None
    groups: list[Any] = []
    # What is not taken over, and is told.
    is_superuser: bool = False
    is_staff: bool = False
    user_permissions: list[Any] = []


def read_dump(plan: Plan, content: list[Any]) -> None:
    """Users of any model that has `password` and `email`."""
    try:
        items = [_Item.model_validate(item) for item in content]
    except ValidationError as error:
        plan.problems.append(f"this is no dumpdata: {in_words(error)}")
        return
    groups = {str(item.pk): item.fields.get("name") for item in items if item.model == "auth.group"}
    users = [item.fields for item in items if {"password", "email"} <= item.fields.keys()]
    if items and not users:
        plan.problems.append("there are no users in this file, with the fields password and email")
    for number, fields in enumerate(users, 1):
        plan.add(f"user {number}", partial(_draft, plan, groups, fields))


def _draft(plan: Plan, groups: Mapping[str, Any], fields: Any) -> Draft:
    try:
        user = _Fields.model_validate(fields)
    except ValidationError as error:
        raise ValueError(in_words(error)) from None
    plan.left.update(name for name in ("is_superuser", "is_staff", "user_permissions") if getattr(user, name))
    return Draft(
        login=user.username or "",
        email=user.email or "",
        full_name=" ".join(name for name in (user.first_name, user.last_name) if name),
        password_hash="" if user.password.startswith(_UNUSABLE) else user.password,
        roles=tuple(_group(groups, key) for key in user.groups),
        is_active=user.is_active,
        created_at=moment(user.date_joined or ""),
    )


def _group(groups: Mapping[str, Any], key: Any) -> str:
    name = key[0] if isinstance(key, list) and key else groups.get(str(key))
    if not isinstance(name, str):
        raise ValueError("its groups have no names: dump with --natural-foreign, or auth.group with auth.user")
    return name
