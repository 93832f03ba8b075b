"""`plain`, with the service's other driver imported and connected as well: what any worker with these stores weighs."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from bench.peers import plain


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with plain.lifespan(app), AsyncExitStack() as stack:
        url = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://")
        engine = create_async_engine(url, pool_size=10, max_overflow=0)
        connection = await stack.enter_async_context(engine.connect())
        await connection.execute(text("SELECT 1"))
        yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)
app.include_router(plain.app.router)
