"""Pages that no address shows: what forms answer. Each scene leaves its page in the browser, and changes no account."""

from collections.abc import Awaitable, Callable

from selenium.webdriver.common.keys import Keys

from tests.operations.pages.world import World
from tests.support.chromium_site import Site

Scene = Callable[[Site, World], Awaitable[object]]
SEND = "main form > button"


async def _open(site: Site, path: str) -> None:
    await site.open(f"{site.base}{path}")


async def _tick(site: Site, name: str) -> None:
    await site.run(f"document.querySelector('[name=\"{name}\"]').click()")


async def _effect_of_a_role(site: Site, _world: World) -> object:
    await _open(site, "/console/roles/moderator/edit")
    await _tick(site, "permission.films:publish")
    await _tick(site, "permission.reviews:moderate")
    await site.press(SEND)
    return await site.find("[value=make]")


async def _new_role_with_mistakes(site: Site, _world: World) -> object:
    await _open(site, "/console/roles/_new")
    await site.type("#session_limit", "many")
    await site.press(SEND)
    return await site.find(".summary")


async def _effect_of_a_grant(site: Site, _world: World) -> object:
    await _open(site, "/console/grants/new?user=viewer&role=content-manager")
    await site.press(SEND)
    return await site.find("[value=make]")


async def _effect_of_a_job(site: Site, _world: World) -> object:
    await _open(site, "/console/grants/jobs/new")
    await site.type("#role", "subscriber")
    await site.type("#names", "viewer reader-01 clara nobody")
    await site.press(SEND)
    return await site.find("[value=make]")


async def _effect_of_a_permission(site: Site, world: World) -> object:
    await _open(site, f"/console/permissions/{world.ids['used_code']}/edit")
    await _tick(site, "step_up")
    await site.press(SEND)
    return await site.find("[value=make]")


async def _secret_of_a_service(site: Site, world: World) -> object:
    await _open(site, f"/console/services/{world.ids['service_id']}")
    await site.press("main form button")
    return await site.find(".copied")


async def _secret_of_a_webhook(site: Site, world: World) -> object:
    await _open(site, f"/console/webhooks/{world.ids['webhook_id']}")
    await site.press("form[action$='/do/rotate'] button")
    return await site.find(".copied")


async def _invitation_with_mistakes(site: Site, _world: World) -> object:
    await _open(site, "/console/users/new")
    await site.type("#email", "nobody")
    await site.press(SEND)
    return await site.find(".summary")


async def _deletion_with_a_mistake(site: Site, world: World) -> object:
    await _open(site, f"/console/users/{world.ids['user_id']}/delete")
    await site.press("main form button")
    return await site.find(".summary")


async def _name_saved(site: Site, _world: World) -> object:
    await _open(site, "/account/name")
    await site.press(SEND)
    return await site.find(".notice.good")


async def _wrong_password(site: Site, _world: World) -> object:
    await _open(site, "/account/password")
    await site.type("#new_password", "short")
    await site.press(SEND)
    return await site.find(".summary")


async def _second_factor_begun(site: Site, world: World) -> object:
    admin = world.readers["admin"]
    assert admin is not None
    await _open(site, "/account/second-factor")
    await site.type("#current_password", admin.password + Keys.ENTER)
    return await site.find(".qr")


async def _second_factor_with_a_mistake(site: Site, _world: World) -> object:
    await site.type("#code", "000000" + Keys.ENTER)
    return await site.find(".summary")


async def _sign_in_refused(site: Site, _world: World) -> object:
    await _open(site, "/account/sign-in")
    await site.type("#login", "somebody")
    await site.type("#password", "not it" + Keys.ENTER)
    return await site.find(".summary")


async def _registration_with_mistakes(site: Site, _world: World) -> object:
    await _open(site, "/account/register")
    await site.type("#email", "nobody" + Keys.ENTER)
    return await site.find(".summary")


async def _link_of_no_use(site: Site, _world: World) -> object:
    await _open(site, "/confirm-email")
    await site.type("#token", "nothing" + Keys.ENTER)
    return await site.find(".summary")


async def _password_link_of_no_use(site: Site, _world: World) -> object:
    await _open(site, "/reset-password")
    await site.type("#token", "nothing")
    await site.type("#new_password", "twenty paper lanterns" + Keys.ENTER)
    return await site.find(".summary")


AS_ADMIN: tuple[Scene, ...] = (
    _effect_of_a_role,
    _new_role_with_mistakes,
    _effect_of_a_grant,
    _effect_of_a_job,
    _effect_of_a_permission,
    _secret_of_a_service,
    _secret_of_a_webhook,
    _invitation_with_mistakes,
    _deletion_with_a_mistake,
    _name_saved,
    _wrong_password,
    _second_factor_begun,
    _second_factor_with_a_mistake,
)
AS_STRANGER: tuple[Scene, ...] = (
    _sign_in_refused,
    _registration_with_mistakes,
    _link_of_no_use,
    _password_link_of_no_use,
)


def as_careful(language: str) -> tuple[Scene, ...]:
    """With an authenticator: one after the other, from the sign-in on. A code is used up by each of two."""

    async def asked_for_a_code(site: Site, world: World) -> object:
        account = world.careful[language]
        await _open(site, "/account/sign-in")
        await site.type("#login", account.login)
        await site.type("#password", account.password + Keys.ENTER)
        return await site.find("[name=trust_device]")

    async def wrong_code(site: Site, _world: World) -> object:
        await site.type("#code", "000000" + Keys.ENTER)
        return await site.find(".summary")

    async def second_factor_on(site: Site, world: World) -> object:
        await site.type("#code", world.recovery_codes[language][0] + Keys.ENTER)
        await site.find(".sections")
        await _open(site, "/account/second-factor")
        return await site.find("a[href$='/codes']")

    async def asks_to_turn_off(site: Site, _world: World) -> object:
        await _open(site, "/account/second-factor/off")
        return await site.find("#code")

    async def recovery_codes(site: Site, world: World) -> object:
        await _open(site, "/account/second-factor/codes")
        await site.type("#current_password", world.careful[language].password)
        await site.type("#code", world.recovery_codes[language][1] + Keys.ENTER)
        return await site.find(".codes")

    return (asked_for_a_code, wrong_code, second_factor_on, asks_to_turn_off, recovery_codes)
