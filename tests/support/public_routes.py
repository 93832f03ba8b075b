"""Routes that anyone may call, without a token."""

from tests.support.api import V1

PUBLIC = {f"{V1}/auth/{name}" for name in ("email/confirm", "password/forgot", "password/reset")} | {
    f"{V1}/auth/{name}" for name in ("register", "login", "login/mfa", "refresh", "logout", "token", "revoke")
}
