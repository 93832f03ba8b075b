"""All pages of the account, in the order in which they are tried."""

from auth_service.pages.account.data_router import router as data_router
from auth_service.pages.account.email_router import router as email_router
from auth_service.pages.account.history_router import router as history_router
from auth_service.pages.account.links_router import router as links_router
from auth_service.pages.account.other_router import router as other_router
from auth_service.pages.account.overview_router import router as overview_router
from auth_service.pages.account.password_router import router as password_router
from auth_service.pages.account.profile_router import router as profile_router
from auth_service.pages.account.register_router import router as register_router
from auth_service.pages.account.second_factor_router import router as second_factor_router
from auth_service.pages.account.sessions_router import router as sessions_router
from auth_service.pages.account.sign_in_router import router as sign_in_router
from auth_service.pages.account.step_up_router import router as step_up_router

_ROUTERS = (
    overview_router,
    sign_in_router,
    register_router,
    links_router,
    step_up_router,
    profile_router,
    email_router,
    password_router,
    second_factor_router,
    sessions_router,
    history_router,
    data_router,
    other_router,  # has what is at no other path
)
# Put into each app as they are: FastAPI takes its time to build a route.
ROUTES = [route for router in _ROUTERS for route in router.routes]
