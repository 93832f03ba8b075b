"""What one would build from parts: fastapi-users says who asks, pycasbin whether they may.

fastapi-users verifies its JWT and reads the user from Postgres (SQLAlchemy over asyncpg) with each request; the roles
are casbin's, in memory, with the same parents and wildcards. Runs in the peers' environment.
"""

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import casbin
from fastapi import Depends, FastAPI
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, JWTStrategy
from fastapi_users.db import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from bench.peers.casbin_rules import enforcer_of
from bench.rules import read_rules

SECRET = "a secret of this benchmark, thirty-two bytes at least"
PASSWORD = "a password of this benchmark"


class Base(DeclarativeBase):
    pass


class User(SQLAlchemyBaseUserTableUUID, Base):
    role: Mapped[str] = mapped_column()


class Question(BaseModel):
    permission: str


class Answer(BaseModel):
    allowed: bool
    reason: str


engine = create_async_engine(os.environ["BENCH_PEER_DATABASE"], pool_size=10, max_overflow=0)
sessions = async_sessionmaker(engine, expire_on_commit=False)
rules = read_rules(Path(os.environ["BENCH_RULES"]))
enforcer: casbin.Enforcer = enforcer_of(rules)


class Manager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]):
    pass


async def _session() -> AsyncIterator[AsyncSession]:
    async with sessions() as session:
        yield session


async def _users(session: Annotated[AsyncSession, Depends(_session)]) -> AsyncIterator[Any]:
    yield SQLAlchemyUserDatabase(session, User)


async def _manager(users: Annotated[Any, Depends(_users)]) -> AsyncIterator[Manager]:
    yield Manager(users)


def _strategy() -> JWTStrategy[User, uuid.UUID]:
    return JWTStrategy(secret=SECRET, lifetime_seconds=3600)


backend = AuthenticationBackend(name="jwt", transport=BearerTransport("login"), get_strategy=_strategy)
fastapi_users = FastAPIUsers[User, uuid.UUID](_manager, [backend])
current_user = fastapi_users.current_user(active=True)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Its tables, and the demo accounts under their own ids."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with sessions() as session:
        hashed = Manager(SQLAlchemyUserDatabase(session, User)).password_helper.hash(PASSWORD)
        for user, role in rules.users.items():
            email = f"{user}@cinema.example"
            session.add(User(id=uuid.UUID(user), email=email, hashed_password=hashed, role=role))
        await session.commit()
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)
app.include_router(fastapi_users.get_auth_router(backend))


@app.post("/check")
async def check(body: Question, user: Annotated[User, Depends(current_user)]) -> Answer:
    resource, _, action = body.permission.partition(":")
    allowed = enforcer.enforce(user.role, resource, action)
    return Answer(allowed=allowed, reason="granted" if allowed else "no_grant")


@app.get("/ready")
async def ready() -> None:
    """Answers when the users are there."""
