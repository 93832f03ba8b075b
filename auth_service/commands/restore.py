"""auth-service after-restore"""

from typing import Annotated

import typer

from auth_service.commands.running import confirmed, progress_bar, run
from auth_service.core.connections import Resources
from auth_service.maintenance import restored
from auth_service.permissions.actor import OPERATOR


def after_restore(yes: Annotated[bool, typer.Option("--yes", help="Really.")] = False) -> None:
    """After a restored back-up, before the service starts: what was ended since must not be alive again."""
    confirmed(yes, "Every user is logged out, and every access token and mailed link stops working")

    async def action(resources: Resources) -> tuple[int, str]:
        with progress_bar() as progress:
            async with resources.db() as session:
                task = progress.add_task("users", total=await restored.count_users(session))
            return await restored.end_all(resources, OPERATOR, on_progress=lambda count: progress.advance(task, count))

    users, kid = run(action)
    typer.echo(f"{users} users are logged out; {kid} signs from now on")
    typer.echo("What was changed since the back-up is as it was then: docs/operations.md says what to look at.")
