"""`python -m auth_service` is the `auth-service` command."""

import gc
import sys

gc.disable()  # What is imported stays. To look for garbage in it, again and again, took a fifth of the start.

if sys.argv[1:2] == ["serve"]:
    from auth_service.commands.serve import app
else:
    from auth_service.cli import app

gc.freeze()
gc.enable()


def main() -> None:
    app()


if __name__ == "__main__":
    main()
