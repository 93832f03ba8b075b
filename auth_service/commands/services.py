"""auth-service services …"""

from typing import Annotated

import typer

from auth_service.commands.running import checked, print_rows, run
from auth_service.models import ServiceAccount
from auth_service.permissions.actor import OPERATOR
from auth_service.permissions.codes import CHECK_OTHERS
from auth_service.service_accounts import service
from auth_service.service_accounts.schemas import ServiceName

app = typer.Typer(help="Identities of other services.", no_args_is_help=True)


@app.command("list")
def list_services(json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """All service accounts."""

    def row(account: ServiceAccount) -> dict[str, object]:
        return {"client_id": account.id, "name": account.name, "scopes": ", ".join(account.scopes)}

    print_rows([row(account) for account in run(service.list_services)], as_json=json)


@app.command()
def create(
    name: str,
    scope: Annotated[list[str] | None, typer.Option(help="Repeat it for more; default: permissions:check")] = None,
) -> None:
    """Makes one, and shows its secret this once."""
    checked(ServiceName, name, "name must have 2 to 64 lower case letters, digits and dashes, and begin with a letter")
    account, secret = run(
        lambda resources: service.create_service(resources, OPERATOR, name, "", scope or [CHECK_OTHERS])
    )
    typer.echo(f"client_id={account.id}\nclient_secret={secret}")
