"""Grants of everybody, for admins."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from auth_service.admin import grants
from auth_service.admin.csv_list import A_CSV_FILE
from auth_service.admin.grants import GrantsPage, ask_for_grants
from auth_service.admin.grants_schemas import GrantsAnswer, GrantsQuery
from auth_service.core.connections import Res
from auth_service.core.errors import NotFound
from auth_service.core.http.api_docs import refusals
from auth_service.core.principal import Principal
from auth_service.permissions.require import Require

router = APIRouter(prefix="/grants", tags=["administration"])


@router.get("", response_model=GrantsAnswer, responses=A_CSV_FILE | refusals(NotFound))
async def list_grants(
    caller: Annotated[Principal, Require("users:read")],
    _caller: Annotated[Principal, Require("roles:read")],
    query: Annotated[GrantsQuery, Query()],
    resources: Res,
) -> GrantsPage | StreamingResponse:
    """Also those that have ended or not yet begun: by end where that is asked about, by start of coming ones, else by
    user and role.

    `next_cursor` leads to the next page, `format=csv` gives all in one file. Names and e-mail addresses only with
    users:write.
    """
    asked = await ask_for_grants(resources, query, caller)
    if query.format == "csv":
        return await grants.csv_file(resources, caller, asked)
    return await grants.list_grants(asked, query)
