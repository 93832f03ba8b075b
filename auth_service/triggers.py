"""The schema's triggers, by table: what must hold whoever writes, older code and an operator at psql too."""

_FORGET_LOOK = (
    "CREATE FUNCTION forget_login_look() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN INSERT INTO login_looks (user_id) VALUES (NEW.id)"
    " ON CONFLICT (user_id) DO UPDATE SET look = NULL; RETURN NULL; END $$",
    "CREATE TRIGGER forget_login_look AFTER INSERT OR UPDATE OF login ON users"
    " FOR EACH ROW EXECUTE FUNCTION forget_login_look()",
)
_APPEND_ONLY = (
    "CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN RAISE EXCEPTION 'audit_log is append-only'; END $$",
    "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log"
    " FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()",
)


def _function(name: str, body: str) -> str:
    return (
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN NULL; END $$"
    )


def _trigger(table: str, name: str, when: str, then: str) -> str:
    return f"CREATE TRIGGER {name} AFTER {when} ON {table} {then}"


# What the workers hear, by core.coherence: `u:<id>` a subject, `r` roles and the catalogue, `k` keys, `*` everything.
_TELL_SUBJECT = _function(
    "tell_subject", "PERFORM pg_notify('auth_changes', 'u:' || (to_jsonb(coalesce(NEW, OLD)) ->> TG_ARGV[0]))"
)
_TELL_DENIED = _function(
    "tell_denied", "PERFORM pg_notify('auth_changes', 'u:' || substr(split_part(NEW.key, '}', 1), 7))"
)
_TELL_GRANTED = _function(
    "tell_granted",
    "IF (SELECT count(*) FROM (SELECT DISTINCT user_id FROM changed LIMIT 101) c) > 100"
    " THEN PERFORM pg_notify('auth_changes', '*');"
    " ELSE PERFORM pg_notify('auth_changes', 'u:' || user_id) FROM (SELECT DISTINCT user_id FROM changed) c; END IF",
)
_TELL = _function("tell", "PERFORM pg_notify('auth_changes', TG_ARGV[0])")
_STATEMENT = "FOR EACH STATEMENT EXECUTE FUNCTION"


def _tell_any(table: str, what: str) -> tuple[str, str]:
    return _TELL, _trigger(table, "tell", "INSERT OR UPDATE OR DELETE OR TRUNCATE", f"{_STATEMENT} tell('{what}')")


TRIGGERS: dict[str, tuple[str, ...]] = {
    "audit_log": _APPEND_ONLY,
    "login_looks": _FORGET_LOOK,
    "users": (
        _TELL_SUBJECT,
        _TELL,
        _trigger(
            "users",
            "tell_active",
            "UPDATE OF is_active",
            "FOR EACH ROW WHEN (OLD.is_active IS DISTINCT FROM NEW.is_active) EXECUTE FUNCTION tell_subject('id')",
        ),
        _trigger("users", "tell_deleted", "DELETE", "FOR EACH ROW EXECUTE FUNCTION tell_subject('id')"),
        _trigger("users", "tell_truncated", "TRUNCATE", f"{_STATEMENT} tell('*')"),
    ),
    "sessions": (
        _TELL_SUBJECT,
        _trigger(
            "sessions",
            "tell_session",
            "UPDATE OF second_factor_at, revoked_at",
            "FOR EACH ROW WHEN (OLD.second_factor_at IS DISTINCT FROM NEW.second_factor_at"
            " OR OLD.revoked_at IS DISTINCT FROM NEW.revoked_at) EXECUTE FUNCTION tell_subject('user_id')",
        ),
    ),
    "denials": (
        _TELL_DENIED,
        _trigger("denials", "tell_denied", "INSERT OR UPDATE", "FOR EACH ROW EXECUTE FUNCTION tell_denied()"),
    ),
    "user_roles": (
        _TELL_GRANTED,
        _TELL,
        *(
            _trigger("user_roles", name, when, f"REFERENCING {which} TABLE AS changed {_STATEMENT} tell_granted()")
            for name, when, which in (
                ("tell_given", "INSERT", "NEW"),
                ("tell_changed", "UPDATE", "NEW"),
                ("tell_taken", "DELETE", "OLD"),
            )
        ),
        _trigger("user_roles", "tell_truncated", "TRUNCATE", f"{_STATEMENT} tell('*')"),
    ),
    "permissions": _tell_any("permissions", "r"),
    "role_permissions": _tell_any("role_permissions", "r"),
    "role_parents": _tell_any("role_parents", "r"),
    "signing_keys": _tell_any("signing_keys", "k"),
}
