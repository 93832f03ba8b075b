"""Who has a permission, for admins."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from auth_service.admin import holders
from auth_service.admin.csv_list import A_CSV_FILE
from auth_service.admin.holders import HoldersPage, list_holders, who_has
from auth_service.admin.holders_schemas import HoldersAnswer, HoldersQuery
from auth_service.core.connections import Res
from auth_service.core.errors import NotFound, NotKnownThen
from auth_service.core.http.api_docs import refusals
from auth_service.core.principal import Principal
from auth_service.permissions.require import Require

router = APIRouter(prefix="/permissions", tags=["administration"])


@router.get("/{code}/users", response_model=HoldersAnswer, responses=A_CSV_FILE | refusals(NotFound, NotKnownThen))
async def list_permission_users(
    caller: Annotated[Principal, Require("users:read")],
    _caller: Annotated[Principal, Require("roles:read")],
    code: str,
    query: Annotated[HoldersQuery, Query()],
    resources: Res,
) -> HoldersPage | StreamingResponse:
    """Active users who have the permission now, will at a coming moment, or had at one that has passed, each with how;
    by id.

    `next_cursor` leads to the next page, `format=csv` gives all in one file. Names and e-mail addresses only with
    users:write.
    """
    asked = await who_has(resources, code, query, caller)
    if query.format == "csv":
        return await holders.csv_file(resources, caller, asked)
    return await list_holders(asked, query)
