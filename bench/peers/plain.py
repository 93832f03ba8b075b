"""FastAPI as its tutorial writes it: a body model, one dependency that reads the bearer token, a response model.

It verifies nothing and decides nothing. `/me` reads the account by its primary key, with asyncpg.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import asyncpg
from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel
from redis.asyncio import Redis

USER = UUID(os.environ.get("BENCH_USER", "00000000-0000-0000-0000-000000000000"))
_ROW = (
    "SELECT id, login, email, full_name, email_verified_at IS NOT NULL AS email_verified, is_active, created_at,"
    " updated_at FROM users WHERE id = $1"
)


class Question(BaseModel):
    permission: str
    user_id: UUID | None = None


class Answer(BaseModel):
    allowed: bool
    reason: str


class Account(BaseModel):
    id: UUID
    login: str
    email: str
    full_name: str | None
    email_verified: bool
    is_active: bool
    created_at: datetime
    updated_at: datetime


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """As many connections as a worker of the service opens: its memory is compared with this app's too."""
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=10, max_size=10) as pool:
        redis = Redis.from_url(os.environ["REDIS_URL"])
        connections = [await redis.connection_pool.get_connection() for _ in range(32)]
        for connection in connections:
            await redis.connection_pool.release(connection)
        app.state.pool = pool
        yield
        await redis.aclose()


async def bearer(authorization: Annotated[str, Header()]) -> str:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise HTTPException(401)
    return token


app = FastAPI(lifespan=lifespan)


@app.post("/check")
async def check(body: Question, _token: Annotated[str, Depends(bearer)]) -> Answer:
    return Answer(allowed=bool(body.permission), reason="granted")


@app.get("/me", response_model=Account)
async def me(_token: Annotated[str, Depends(bearer)]) -> Any:
    return dict(await app.state.pool.fetchrow(_ROW, USER))
