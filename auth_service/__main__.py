"""`python -m auth_service` is the `auth-service` command."""

import gc

gc.disable()  # What is imported stays. To look for garbage in it, again and again, took a fifth of the start.

from auth_service.cli import main  # noqa: E402

gc.freeze()
gc.enable()

if __name__ == "__main__":
    main()
