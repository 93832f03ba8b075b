"""Who may be at a page of the console: `me: Annotated[Admin, Staff("users:read")]` in the route's signature."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fastapi import Depends, Request

from auth_service.core.connections import Res, Resources
from auth_service.core.errors import PermissionDenied
from auth_service.core.principal import Principal
from auth_service.pages.console.nav import sections_for
from auth_service.pages.viewer import Me, Viewer
from auth_service.permissions.checks import allows_all
from auth_service.permissions.patterns import covers


@dataclass(frozen=True, slots=True)
class Admin:
    """`held`: the patterns of active grants, by which pages offer things; what a step-up opens is among them."""

    viewer: Viewer
    held: frozenset[str]

    @property
    def principal(self) -> Principal:
        return self.viewer.principal

    @property
    def id(self) -> UUID:
        return self.viewer.id

    @property
    def session_id(self) -> UUID:
        return self.viewer.session_id

    @property
    def csrf(self) -> str:
        return self.viewer.csrf

    def may(self, *codes: str) -> bool:
        """Whether to offer it; the services decide."""
        return all(covers(self.held, code) for code in codes)


def Staff(*codes: str) -> Any:
    """The Admin, who has all of them as Require would have it: PermissionDenied or StepUpRequired for others."""
    return Depends(_guard(codes))


async def held_by(resources: Resources, viewer: Viewer, codes: Sequence[str] = ()) -> frozenset[str]:
    """The patterns of active grants; PermissionDenied or StepUpRequired for who may not do all of `codes`."""
    return frozenset(grant.pattern for grant in await allows_all(resources, viewer.principal, codes))


def _guard(codes: tuple[str, ...]) -> Callable[..., Awaitable[Admin]]:
    async def guard(request: Request, viewer: Me, resources: Res) -> Admin:
        # What goes wrong on the page leads back to the console, but nobody to one that is not theirs.
        try:
            admin = Admin(viewer, await held_by(resources, viewer, codes))
        except PermissionDenied:
            request.state.administers = bool(sections_for(await held_by(resources, viewer)))
            raise
        request.state.administers = bool(sections_for(admin.held))
        return admin

    return guard
