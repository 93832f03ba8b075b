"""All pages of the console, in the order in which they are tried."""

from auth_service.pages.console.confirm_router import router as confirm_router
from auth_service.pages.console.entry_router import rest_router
from auth_service.pages.console.entry_router import router as entry_router
from auth_service.pages.console.users_router import router as users_router

_ROUTERS = (
    entry_router,
    confirm_router,
    users_router,
    rest_router,  # has what is at no other path
)
ROUTES = [route for router in _ROUTERS for route in router.routes]
