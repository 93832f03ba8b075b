"""What a grant, or one less, would do: the same from the page of an account and from that of all grants."""

from fastapi import Request
from starlette.responses import Response

from auth_service.core.connections import Resources
from auth_service.pages.catalogue import N_
from auth_service.pages.console.guard import Admin
from auth_service.pages.console.trying import preview
from auth_service.pages.form import Form
from auth_service.pages.words import Words
from auth_service.permissions.what_if.trial import Trial


async def granting(
    request: Request, me: Admin, resources: Resources, form: Form, trial: Trial, *, role: str, address: str
) -> Response:
    return await preview(
        request,
        me,
        resources,
        form,
        trial,
        heading=Words(N_("What granting %(role)s would do"), {"role": role}),
        address=address,
        button=N_("Grant the role"),
    )


async def revoking(
    request: Request, me: Admin, resources: Resources, form: Form, trial: Trial, *, role: str, address: str, back: str
) -> Response:
    return await preview(
        request,
        me,
        resources,
        form,
        trial,
        heading=Words(N_("What taking %(role)s away would do"), {"role": role}),
        address=address,
        button=N_("Take the role away"),
        back=back,
        danger=True,
    )
