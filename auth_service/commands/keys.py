"""auth-service keys …"""

from typing import Annotated

import typer

from auth_service.commands.running import confirmed, print_rows, run, stop
from auth_service.maintenance import resealing, signing_keys
from auth_service.permissions.actor import OPERATOR

app = typer.Typer(help="The keys that sign access tokens.", no_args_is_help=True)


@app.command("list")
def list_keys(json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """All keys: coming, signing, verifying (until their last token is dead), retired."""
    print_rows(run(lambda resources: resources.keys.overview()), as_json=json)


@app.command()
def rotate(
    soon: Annotated[
        bool, typer.Option("--soon", help="Sign with it in seconds; caches of the JWKS may miss it.")
    ] = False,
) -> None:
    """A new key: published now, signing after KEY_OVERLAP_SECONDS, when every cached JWKS has it."""
    kid, signs_from = run(lambda resources: signing_keys.rotate(resources, OPERATOR, soon=soon))
    typer.echo(f"{kid} signs from {signs_from.isoformat(timespec='seconds')}")


# One key id in 64 begins with a dash and would be taken for an option.
@app.command(context_settings={"ignore_unknown_options": True})
def retire(kid: str, yes: Annotated[bool, typer.Option("--yes", help="Really.")] = False) -> None:
    """For a leaked key: tokens signed with it are refused within seconds, and their users refresh."""
    confirmed(yes, "Every access token of this key stops working")
    if not run(lambda resources: signing_keys.retire(resources, OPERATOR, kid)):
        stop("There is no live key with this id.")
    typer.echo("retired")


@app.command()
def reseal() -> None:
    """Seals signing keys, authenticators' seeds, waiting mails and webhooks' secrets with SECRET_KEY."""
    counts = run(lambda resources: resealing.reseal(resources, OPERATOR))
    typer.echo("sealed anew: " + ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items()))
