"""The sections of the console, and for whom each is. Pure."""

from collections.abc import Collection
from dataclasses import dataclass

from auth_service.admin.lists_schemas import MAY_LIST
from auth_service.pages.catalogue import N_
from auth_service.permissions.patterns import covers


@dataclass(frozen=True, slots=True)
class Section:
    path: str
    words: str
    codes: tuple[str, ...]


# In the order in which they are shown; the first that somebody may read is where the console begins.
SECTIONS = (
    Section("/console/users", N_("Users"), ("users:read",)),
    Section("/console/roles", N_("Roles"), ("roles:read",)),
    Section("/console/permissions", N_("Permissions"), ("permissions:read",)),
    Section("/console/grants", N_("Grants"), MAY_LIST),
    Section("/console/services", N_("Services"), ("services:read",)),
    Section("/console/webhooks", N_("Webhooks"), ("webhooks:read",)),
    Section("/console/audit", N_("Audit trail"), ("audit:read",)),
    Section("/console/sign-ins", N_("Sign-ins"), ("audit:read",)),
    Section("/console/health", N_("Health"), ("audit:read",)),
)


def sections_for(held: Collection[str]) -> list[Section]:
    """`held`: patterns of permissions."""
    return [section for section in SECTIONS if all(covers(held, code) for code in section.codes)]
