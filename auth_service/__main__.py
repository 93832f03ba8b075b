"""`python -m auth_service` is the `auth-service` command."""

from auth_service.cli import main

main()
