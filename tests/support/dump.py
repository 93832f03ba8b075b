"""All that Postgres holds, as text."""

import asyncpg

from auth_service.models import Base
from tests.support.api import Api


async def dump(api: Api) -> dict[str, str]:
    connection = await asyncpg.connect(api.resources.settings.direct_address.dsn)
    try:
        return {
            table: "\n".join(row[0] for row in await connection.fetch(f'SELECT t::text FROM "{table}" t'))  # noqa: S608
            for table in Base.metadata.tables
        }
    finally:
        await connection.close()
