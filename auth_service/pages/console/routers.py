"""All pages of the console, in the order in which they are tried."""

from auth_service.pages.console.account_edit_router import router as account_edit_router
from auth_service.pages.console.account_router import router as account_router
from auth_service.pages.console.acts_router import router as acts_router
from auth_service.pages.console.audit_router import router as audit_router
from auth_service.pages.console.confirm_router import router as confirm_router
from auth_service.pages.console.entry_router import rest_router
from auth_service.pages.console.entry_router import router as entry_router
from auth_service.pages.console.grant_jobs_router import router as grant_jobs_router
from auth_service.pages.console.grant_router import router as grant_router
from auth_service.pages.console.grants_router import router as grants_router
from auth_service.pages.console.health_router import router as health_router
from auth_service.pages.console.invite_router import router as invite_router
from auth_service.pages.console.permission_edit_router import router as permission_edit_router
from auth_service.pages.console.permissions_router import router as permissions_router
from auth_service.pages.console.role_edit_router import router as role_edit_router
from auth_service.pages.console.roles_router import router as roles_router
from auth_service.pages.console.services_router import router as services_router
from auth_service.pages.console.sign_ins_router import router as sign_ins_router
from auth_service.pages.console.user_sessions_router import router as user_sessions_router
from auth_service.pages.console.users_router import router as users_router
from auth_service.pages.console.webhooks_router import router as webhooks_router

_ROUTERS = (
    entry_router,
    confirm_router,
    users_router,
    role_edit_router,
    roles_router,
    permission_edit_router,
    permissions_router,
    grant_jobs_router,
    grants_router,
    services_router,
    webhooks_router,
    invite_router,  # /console/users/new, before what takes an id there
    account_router,
    account_edit_router,
    grant_router,
    user_sessions_router,
    acts_router,
    audit_router,
    sign_ins_router,
    health_router,
    rest_router,  # has what is at no other path
)
ROUTES = [route for router in _ROUTERS for route in router.routes]
