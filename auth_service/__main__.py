"""`python -m auth_service` is the `auth-service` command."""

from auth_service.cli import main

if __name__ == "__main__":
    main()
