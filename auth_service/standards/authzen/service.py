"""AuthZEN's questions, put to the check: whatever is asked, `permissions` decides."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from auth_service.core.connections import Resources
from auth_service.core.principal import Principal
from auth_service.permissions.cache import CheckCache
from auth_service.permissions.checks import answer_about_services, answer_checks
from auth_service.permissions.decision import Decision
from auth_service.permissions.patterns import is_code
from auth_service.users.naming import find_named_ids, may_name

USER, SERVICE = "user", "service"
NOBODY = UUID(int=0)  # asked about like anybody, so that who may not ask learns nothing
NO_CODE = ":"


@dataclass(frozen=True, slots=True)
class Asked:
    """`session_id`: the user's session, for what asks for a step-up; a caller's own is known already."""

    subject_type: str
    subject_id: str
    code: str
    session_id: UUID | None = None


def code_of(resource_type: str, action_name: str) -> str:
    """The permission; NO_CODE, which no catalogue has, for names that none can be made of."""
    code = f"{resource_type}:{action_name}"
    return code if is_code(code) else NO_CODE


async def evaluate(
    resources: Resources, caller: Principal, asked: Sequence[Asked], cache: CheckCache | None = None
) -> list[Decision]:
    """Of each, in their order; those about users on one snapshot. An unknown subject, or type of subject, has no grant.

    Raises PermissionDenied or StepUpRequired where POST /permissions/check would. What the stores say of users is put
    into `cache`.
    """
    names = {one.subject_id for one in asked if one.subject_type == USER}
    ids = await user_ids(resources, caller, names)
    of_services = [(one.code, one.subject_id) for one in asked if one.subject_type == SERVICE]
    of_users = [
        (one.code, ids.get(one.subject_id, NOBODY) if one.subject_type == USER else NOBODY, one.session_id)
        for one in asked
        if one.subject_type != SERVICE
    ]
    users = iter(await answer_checks(resources, caller, of_users, cache) if of_users else ())
    services = iter(await answer_about_services(resources, caller, of_services) if of_services else ())
    return [next(services if one.subject_type == SERVICE else users) for one in asked]


async def user_ids(resources: Resources, caller: Principal, names: set[str]) -> dict[str, UUID]:
    """Of those that somebody has. Raises PermissionDenied for an e-mail address, unless the caller sees addresses."""
    for name in names:
        if "@" in name:
            await may_name(resources, caller, name)
            break  # the answer is the same for all addresses
    return await find_named_ids(resources, names)
