"""What the audit trail says on a page, in the reader's language and zone. Pure."""

from auth_service.audit.schemas import AuditEntry
from auth_service.audit.trail import Action
from auth_service.audit.words import Speech, differences
from auth_service.pages.catalogue import N_, catalogue
from auth_service.pages.local_words import LocalWords

ACTIONS = {
    Action.ROLE_CREATED: N_("Role made"),
    Action.ROLE_UPDATED: N_("Role changed"),
    Action.ROLE_DELETED: N_("Role deleted"),
    Action.ROLE_GRANTED: N_("Role granted"),
    Action.ROLE_REVOKED: N_("Role taken away"),
    Action.GRANT_JOB_CREATED: N_("Many grants begun"),
    Action.GRANT_JOB_CANCELLED: N_("Many grants cancelled"),
    Action.PERMISSION_CREATED: N_("Permission made"),
    Action.PERMISSION_UPDATED: N_("Permission changed"),
    Action.PERMISSION_DELETED: N_("Permission deleted"),
    Action.SERVICE_CREATED: N_("Service account made"),
    Action.SERVICE_SECRET_ADDED: N_("Secret of a service account added"),
    Action.SERVICE_DELETED: N_("Service account deleted"),
    Action.WEBHOOK_CREATED: N_("Webhook made"),
    Action.WEBHOOK_UPDATED: N_("Webhook changed"),
    Action.WEBHOOK_SECRET_ROTATED: N_("Secret of a webhook changed"),
    Action.WEBHOOK_TESTED: N_("Webhook tried"),
    Action.WEBHOOK_DISABLED: N_("Webhook switched off after failures"),
    Action.WEBHOOK_DELETED: N_("Webhook deleted"),
    Action.USER_CREATED: N_("Account made"),
    Action.USER_UPDATED: N_("Account changed"),
    Action.USER_DISABLED: N_("Account disabled"),
    Action.USER_ENABLED: N_("Account enabled"),
    Action.USER_DELETED: N_("Account deleted"),
    Action.USERS_IMPORTED: N_("Accounts imported"),
    Action.USER_UNLOCKED: N_("Account unlocked"),
    Action.USER_LOGGED_OUT: N_("Signed out everywhere"),
    Action.SESSION_ENDED: N_("Session ended"),
    Action.MFA_RESET: N_("Two-step sign-in turned off"),
    Action.PASSWORD_SET: N_("Password set by the operator"),
    Action.PASSWORD_RESET_SENT: N_("Link to set a password sent"),
    Action.KEY_ROTATED: N_("Signing key changed"),
    Action.KEY_RETIRED: N_("Signing key retired"),
    Action.SECRETS_RESEALED: N_("Secrets sealed again"),
    Action.DATABASE_RESTORED: N_("Database restored"),
}
GROUPS = {
    "role.*": N_("All about roles and grants"),
    "grant_job.*": N_("All about many grants at once"),
    "permission.*": N_("All about permissions"),
    "service.*": N_("All about services"),
    "webhook.*": N_("All about webhooks"),
    "user.*": N_("All about accounts"),
    "users.*": N_("All imports"),
    "session.*": N_("All about sessions"),
    "key.*": N_("All about signing keys"),
    "secrets.*": N_("All about sealed secrets"),
    "database.*": N_("All about restored databases"),
}
KINDS = {
    "user": N_("user"),
    "service": N_("service"),
    "operator": N_("operator"),
    "system": N_("the service itself"),
    "role": N_("role"),
    "grant_job": N_("many grants"),
    "permission": N_("permission"),
    "webhook": N_("webhook"),
    "key": N_("signing key"),
    "database": N_("database"),
}
# What rows have in `before` and `after`; a test compares.
FIELDS = {
    "title": N_("title"),
    "description": N_("description"),
    "permissions": N_("permissions"),
    "parents": N_("parents"),
    "session_limit": N_("session limit"),
    "step_up": N_("asks for a code"),
    "role": N_("role"),
    "roles": N_("roles"),
    "valid_from": N_("beginning"),
    "valid_until": N_("end"),
    "act": N_("what to do"),
    "users": N_("accounts"),
    "count": N_("accounts"),
    "changed": N_("what changed"),
    "login": N_("login"),
    "email": N_("e-mail address"),
    "full_name": N_("name"),
    "is_active": N_("active"),
    "session_id": N_("session"),
    "name": N_("name"),
    "scopes": N_("scopes"),
    "expires_at": N_("secret works until"),
    "previous_secret_until": N_("old secret works until"),
    "host": N_("host"),
    "url": N_("address"),
    "kinds": N_("events"),
    "enabled": N_("switched on"),
    "disabled_reason": N_("why it was switched off"),
    "authenticators": N_("authenticators"),
    "mails": N_("mails"),
    "webhooks": N_("webhooks"),
    "signing_keys": N_("signing keys"),
    "signing_key": N_("signing key"),
    "signs_from": N_("signs from"),
    "users_logged_out": N_("accounts signed out"),
}
# Of fields that have codes.
VALUES = {
    "act": {"grant": N_("to grant"), "revoke": N_("to take away")},
    "disabled_reason": {
        "failed": N_("it failed for too long"),
        "gone": N_("the receiver said that it is gone"),
    },
}
_WAS, _NO_END, _NONE, _YES, _NO = N_("was %(what)s"), N_("no end"), N_("none"), N_("yes"), N_("no")


def lines(entry: AuditEntry, local: LocalWords) -> list[str]:
    """What the row changed, as `changes` of the API says it."""
    say = catalogue(local.language).gettext
    speech = Speech(
        field=lambda name: say(FIELDS.get(name, name)),
        value=lambda name, code: say(words) if (words := VALUES.get(name, {}).get(code)) else code,
        moment=local.moment,
        was=lambda what: say(_WAS) % {"what": what},
        no_end=say(_NO_END),
        none=say(_NONE),
        yes=say(_YES),
        no=say(_NO),
    )
    return differences(entry.before, entry.after, speech)
