"""The cinema's permissions and roles.

Revision: 0002, after 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

PERMISSIONS = {
    "films:read": "See films and their pages",
    "films:watch": "Watch films of the subscription",
    "films:create": "Add films",
    "films:update": "Change films",
    "films:delete": "Remove films",
    "films:publish": "Publish and withdraw films",
    "playback:preview": "Play trailers",
    "playback:hd": "Play in HD",
    "playback:uhd": "Play in 4K",
    "playback:download": "Download for offline viewing",
    "sessions:read": "See the programme of screenings",
    "sessions:create": "Schedule screenings",
    "sessions:update": "Change screenings",
    "sessions:delete": "Cancel screenings",
    "tickets:read": "See one's tickets",
    "tickets:buy": "Buy tickets",
    "tickets:refund": "Refund tickets",
    "tickets:validate": "Validate tickets at the door",
    "subscriptions:read": "See subscription plans",
    "subscriptions:buy": "Subscribe",
    "subscriptions:cancel": "End one's subscription",
    "subscriptions:manage": "Manage plans and everyone's subscriptions",
    "reviews:read": "Read reviews",
    "reviews:write": "Write reviews",
    "reviews:moderate": "Hide and restore reviews",
    "reviews:delete": "Delete reviews",
    "ratings:write": "Rate films",
    "bookmarks:write": "Keep a watch list",
    "collections:read": "See collections",
    "collections:write": "Curate collections",
    "payments:read": "See payments",
    "payments:refund": "Refund payments",
    "users:read": "See accounts",
    "users:write": "Change, disable and enable accounts",
    "users:delete": "Delete accounts",
    "roles:read": "See roles and grants",
    "roles:write": "Make and change roles",
    "roles:grant": "Grant and revoke roles",
    "permissions:read": "See the catalogue of permissions",
    "permissions:write": "Change the catalogue of permissions",
    "permissions:check": "Ask what other users may do",
    "services:read": "See service accounts",
    "services:write": "Manage service accounts",
    "audit:read": "Read histories and the audit trail",
}

# name: (title, parents, own permissions)
ROLES = {
    "guest": (
        "Guest",
        [],
        ["films:read", "playback:preview", "sessions:read", "subscriptions:read", "reviews:read", "collections:read"],
    ),
    "viewer": (
        "Viewer",
        ["guest"],
        ["tickets:read", "tickets:buy", "subscriptions:buy", "reviews:write", "ratings:write", "bookmarks:write"],
    ),
    "subscriber": (
        "Subscriber",
        ["viewer"],
        ["films:watch", "playback:hd", "playback:uhd", "playback:download", "subscriptions:cancel"],
    ),
    "moderator": ("Moderator", ["viewer"], ["reviews:*", "users:read"]),
    "content-manager": ("Content manager", ["viewer"], ["films:*", "sessions:*", "collections:*", "playback:*"]),
    "admin": (
        "Administrator",
        ["subscriber", "moderator", "content-manager"],
        [
            "tickets:*",
            "subscriptions:*",
            "payments:*",
            "users:*",
            "roles:*",
            "permissions:*",
            "services:*",
            "audit:*",
        ],
    ),
    "superuser": ("Superuser", [], ["*"]),
}
BUILT_IN = {"superuser"}


def upgrade() -> None:
    permissions = sa.table("permissions", sa.column("code"), sa.column("title"))
    op.bulk_insert(permissions, [{"code": code, "title": title} for code, title in PERMISSIONS.items()])
    roles = sa.table("roles", sa.column("name"), sa.column("title"), sa.column("built_in", sa.Boolean))
    op.bulk_insert(
        roles,
        [{"name": name, "title": role[0], "built_in": name in BUILT_IN} for name, role in ROLES.items()],
    )
    op.bulk_insert(
        sa.table("role_permissions", sa.column("role_name"), sa.column("pattern")),
        [{"role_name": name, "pattern": item} for name, role in ROLES.items() for item in role[2]],
    )
    op.bulk_insert(
        sa.table("role_parents", sa.column("role_name"), sa.column("parent_name")),
        [{"role_name": name, "parent_name": item} for name, role in ROLES.items() for item in role[1]],
    )


def downgrade() -> None:
    # By name, since the cinema may have made roles of its own; 0001 then drops the rest.
    for table in ("user_roles", "role_permissions", "role_parents"):
        op.execute(sa.text(f"DELETE FROM {table} WHERE role_name = ANY(:names)").bindparams(names=list(ROLES)))
    op.execute(sa.text("DELETE FROM role_parents WHERE parent_name = ANY(:names)").bindparams(names=list(ROLES)))
    op.execute(sa.text("DELETE FROM roles WHERE name = ANY(:names)").bindparams(names=list(ROLES)))
    codes = list(PERMISSIONS)
    op.execute(sa.text("DELETE FROM role_permissions WHERE pattern = ANY(:codes)").bindparams(codes=codes))
    op.execute(sa.text("DELETE FROM permissions WHERE code = ANY(:codes)").bindparams(codes=codes))
