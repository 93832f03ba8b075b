"""Demo accounts, so that a first try needs no set-up; production refuses them."""

from dataclasses import dataclass

from auth_service.audit.trail import operator
from auth_service.core.connections import Resources
from auth_service.core.errors import AppError
from auth_service.permissions.actor import OPERATOR
from auth_service.roles.grants import grant_role
from auth_service.users.identifiers import lookup_key
from auth_service.users.service import create_user, find_by_login_or_email, set_active, set_password


class NoDemoInProduction(AppError):
    code, detail = "no_demo_in_production", "APP_ENV=production has no demo accounts; use auth-service users create."


@dataclass(frozen=True, slots=True)
class DemoUser:
    login: str
    email: str
    password: str
    role: str


DEMO_USERS: tuple[DemoUser, ...] = (
    DemoUser("admin", "admin@cinema.example", "demo-admin-password", "superuser"),
    DemoUser("manager", "manager@cinema.example", "demo-manager-password", "content-manager"),
    DemoUser("moderator", "moderator@cinema.example", "demo-moderator-password", "moderator"),
    DemoUser("viewer", "viewer@cinema.example", "demo-viewer-password", "viewer"),
)


async def seed_users(resources: Resources, *, force: bool = False) -> list[str]:
    """The logins that were made or, with `force`, reset to their demo password and role; else those that exist stay."""
    if resources.settings.production:
        raise NoDemoInProduction
    made = []
    for demo in DEMO_USERS:
        key, is_email = lookup_key(demo.login)
        existing = await find_by_login_or_email(resources, key, is_email=is_email)
        if existing is None:
            user = await create_user(
                resources, login=demo.login, email=demo.email, password=demo.password, by=operator()
            )
        elif force:
            # Reset in place: deleting the demo superuser could be deleting the last one.
            user = await set_active(resources, existing.id, True)
            await set_password(resources, user.id, demo.password)
        else:
            continue
        await grant_role(resources, OPERATOR, user.id, demo.role, reason="demo data")
        made.append(demo.login)
    return made
