"""What is kept about oneself: to take along, and to delete."""

from fastapi import Request
from starlette.responses import Response, StreamingResponse

from auth_service.core.connections import Res
from auth_service.core.http.limits import take
from auth_service.pages import notices
from auth_service.pages.account.screen import screen, signed_out
from auth_service.pages.form import posted
from auth_service.pages.route import page_router
from auth_service.pages.viewer import Me
from auth_service.privacy.export import export
from auth_service.sessions.fresh import must_be_fresh
from auth_service.users import service
from auth_service.users.schemas import DeleteAccountBody

router = page_router()


@router.get("/account/data")
async def data_page(request: Request, me: Me) -> Response:
    return screen(request, "account/data.html", me)


@router.post("/account/data")
async def download(request: Request, me: Me, resources: Res) -> Response:
    form = await posted(request)
    with form:
        take(request, "login")
        await must_be_fresh(resources, me.principal)
        return StreamingResponse(
            await export(resources, me.id),
            media_type="application/json",
            headers={"Content-Disposition": 'attachment; filename="account.json"'},
        )
    return screen(request, "account/data.html", me, form)


@router.get("/account/delete")
async def delete_page(request: Request, me: Me) -> Response:
    return screen(request, "account/delete.html", me)


@router.post("/account/delete")
async def delete(request: Request, me: Me, resources: Res) -> Response:
    form = await posted(request)
    with form:
        take(request, "login")
        body = form.read(DeleteAccountBody)
        await service.delete_own_account(resources, me.id, me.session_id, body.current_password)
        return signed_out(request, resources, "/account/sign-in", notices.DELETED)
    return screen(request, "account/delete.html", me, form)
