"""Whatever changes an answer of the permission check tells the workers so, in its own transaction.

They keep answers in memory and drop them when they hear of it: see auth_service/core/coherence.py. By triggers, so
that the code of the version before tells of it too, and so does an operator at psql.

Revision: 0012, after 0011
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

FUNCTIONS = {
    "tell_subject": "PERFORM pg_notify('auth_changes', 'u:' || (to_jsonb(coalesce(NEW, OLD)) ->> TG_ARGV[0]))",
    "tell_denied": "PERFORM pg_notify('auth_changes', 'u:' || substr(split_part(NEW.key, '}', 1), 7))",
    "tell_granted": "IF (SELECT count(*) FROM (SELECT DISTINCT user_id FROM changed LIMIT 101) c) > 100"
    " THEN PERFORM pg_notify('auth_changes', '*');"
    " ELSE PERFORM pg_notify('auth_changes', 'u:' || user_id) FROM (SELECT DISTINCT user_id FROM changed) c; END IF",
    "tell": "PERFORM pg_notify('auth_changes', TG_ARGV[0])",
}
# Table, what follows "CREATE TRIGGER tell_<name> AFTER", and what is run.
TRIGGERS = [
    (
        "users",
        "tell_active",
        "UPDATE OF is_active",
        "FOR EACH ROW WHEN (OLD.is_active IS DISTINCT FROM NEW.is_active) EXECUTE FUNCTION tell_subject('id')",
    ),
    ("users", "tell_deleted", "DELETE", "FOR EACH ROW EXECUTE FUNCTION tell_subject('id')"),
    ("users", "tell_truncated", "TRUNCATE", "FOR EACH STATEMENT EXECUTE FUNCTION tell('*')"),
    (
        "sessions",
        "tell_session",
        "UPDATE OF second_factor_at, revoked_at",
        "FOR EACH ROW WHEN (OLD.second_factor_at IS DISTINCT FROM NEW.second_factor_at"
        " OR OLD.revoked_at IS DISTINCT FROM NEW.revoked_at) EXECUTE FUNCTION tell_subject('user_id')",
    ),
    ("denials", "tell_denied", "INSERT OR UPDATE", "FOR EACH ROW EXECUTE FUNCTION tell_denied()"),
    (
        "user_roles",
        "tell_given",
        "INSERT",
        "REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION tell_granted()",
    ),
    (
        "user_roles",
        "tell_changed",
        "UPDATE",
        "REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION tell_granted()",
    ),
    (
        "user_roles",
        "tell_taken",
        "DELETE",
        "REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION tell_granted()",
    ),
    ("user_roles", "tell_truncated", "TRUNCATE", "FOR EACH STATEMENT EXECUTE FUNCTION tell('*')"),
    *(
        (
            table,
            "tell",
            "INSERT OR UPDATE OR DELETE OR TRUNCATE",
            f"FOR EACH STATEMENT EXECUTE FUNCTION tell('{what}')",
        )
        for table, what in (
            ("permissions", "r"),
            ("role_permissions", "r"),
            ("role_parents", "r"),
            ("signing_keys", "k"),
        )
    ),
]


def upgrade() -> None:
    for name, body in FUNCTIONS.items():
        op.execute(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN NULL; END $$")
    for table, name, when, then in TRIGGERS:
        op.execute(f"CREATE TRIGGER {name} AFTER {when} ON {table} {then}")


def downgrade() -> None:
    for table, name, _, _ in reversed(TRIGGERS):
        op.execute(f"DROP TRIGGER {name} ON {table}")
    for name in FUNCTIONS:
        op.execute(f"DROP FUNCTION {name}()")
