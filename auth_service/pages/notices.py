"""What a page says about the step before it: one of these, named in a cookie, so that no link can make one up. Pure."""

from dataclasses import dataclass

from auth_service.pages.catalogue import N_


@dataclass(frozen=True, slots=True)
class Notice:
    text: str
    good: bool = True


WELCOME = "welcome"
WELCOME_MAIL = "welcome_mail"
SIGNED_OUT = "signed_out"
SIGN_IN_AGAIN = "sign_in_again"
STEP_OVER = "step_over"
OUT_OF_DATE = "out_of_date"
CONFIRMED = "confirmed"
SESSION_ENDED = "session_ended"
OTHERS_ENDED = "others_ended"
DEVICE_FORGOTTEN = "device_forgotten"
DEVICE_NAMED = "device_named"
PASSWORD_CHANGED = "password_changed"  # noqa: S105
PASSWORD_SET = "password_set"  # noqa: S105
LOGIN_CHANGED = "login_changed"
NAME_CHANGED = "name_changed"
EMAIL_UNDERWAY = "email_underway"
EMAIL_CANCELLED = "email_cancelled"
MAIL_UNDERWAY = "mail_underway"
MFA_OFF = "mfa_off"
DELETED = "deleted"
ROLE_CREATED = "role_created"
ROLE_CHANGED = "role_changed"
ROLE_DELETED = "role_deleted"
PERMISSION_CREATED = "permission_created"
PERMISSION_CHANGED = "permission_changed"
PERMISSION_DELETED = "permission_deleted"
ROLE_GRANTED = "role_granted"
ROLE_REVOKED = "role_revoked"
JOB_BEGUN = "job_begun"
JOB_CANCELLED = "job_cancelled"
SERVICE_DELETED = "service_deleted"
WEBHOOK_CHANGED = "webhook_changed"
WEBHOOK_DELETED = "webhook_deleted"
WEBHOOK_ANSWERED = "webhook_answered"
WEBHOOK_SILENT = "webhook_silent"
# Of the console.
INVITED = "invited"
GRANTED = "granted"
REVOKED = "revoked"
USER_CHANGED = "user_changed"
USER_DISABLED = "user_disabled"
USER_ENABLED = "user_enabled"
USER_DELETED = "user_deleted"
USER_UNLOCKED = "user_unlocked"
USER_LOGGED_OUT = "user_logged_out"
USER_SESSION_ENDED = "user_session_ended"
USER_MFA_RESET = "user_mfa_reset"
USER_RESET_SENT = "user_reset_sent"

NOTICES = {
    WELCOME: Notice(N_("Your account is ready.")),
    WELCOME_MAIL: Notice(
        N_("Your account is ready. We sent you a mail: open the link in it to confirm that the address is yours.")
    ),
    SIGNED_OUT: Notice(N_("You are signed out.")),
    SIGN_IN_AGAIN: Notice(N_("Sign in to continue."), good=False),
    STEP_OVER: Notice(N_("That took too long, or too many codes were wrong. Start again."), good=False),
    OUT_OF_DATE: Notice(N_("The page was out of date, so nothing was done. Please try again."), good=False),
    CONFIRMED: Notice(N_("Thank you. Now you can continue.")),
    SESSION_ENDED: Notice(N_("That device is signed out.")),
    OTHERS_ENDED: Notice(N_("All other devices are signed out.")),
    DEVICE_FORGOTTEN: Notice(N_("The device is forgotten and signed out.")),
    DEVICE_NAMED: Notice(N_("The device has its new name.")),
    PASSWORD_CHANGED: Notice(N_("Your password is changed. All other devices are signed out.")),
    PASSWORD_SET: Notice(N_("Your new password is set, and every device is signed out. Sign in with it now.")),
    LOGIN_CHANGED: Notice(N_("Your login is changed.")),
    NAME_CHANGED: Notice(N_("Your name is changed.")),
    EMAIL_UNDERWAY: Notice(
        N_("We sent a mail to the new address, and to the old one if it was confirmed. Open the links in them.")
    ),
    EMAIL_CANCELLED: Notice(N_("The change of address is cancelled.")),
    MAIL_UNDERWAY: Notice(N_("A mail is on its way. Open the link in it.")),
    MFA_OFF: Notice(N_("Two-step sign-in is off. All other devices are signed out.")),
    DELETED: Notice(N_("Your account is deleted, with all that belonged to it.")),
    ROLE_CREATED: Notice(N_("The role is there.")),
    ROLE_CHANGED: Notice(N_("The role is changed. It counts from the next check on.")),
    ROLE_DELETED: Notice(N_("The role is deleted.")),
    PERMISSION_CREATED: Notice(N_("The permission is in the catalogue.")),
    PERMISSION_CHANGED: Notice(N_("The permission is changed.")),
    PERMISSION_DELETED: Notice(N_("The permission is deleted.")),
    ROLE_GRANTED: Notice(N_("The role is granted.")),
    ROLE_REVOKED: Notice(N_("The role is taken away.")),
    JOB_BEGUN: Notice(N_("The job has begun.")),
    JOB_CANCELLED: Notice(N_("The job is cancelled. What it had done stays.")),
    SERVICE_DELETED: Notice(N_("The service account is deleted. Its tokens no longer work.")),
    WEBHOOK_CHANGED: Notice(N_("The webhook is changed.")),
    WEBHOOK_DELETED: Notice(N_("The webhook is deleted.")),
    WEBHOOK_ANSWERED: Notice(N_("The test message was delivered.")),
    WEBHOOK_SILENT: Notice(N_("The test message was not delivered. The last deliveries say why."), good=False),
    INVITED: Notice(N_("The account is there, and a mail with the link to set a password is on its way.")),
    GRANTED: Notice(N_("The role is granted. It counts from now on, or from the start that you gave.")),
    REVOKED: Notice(N_("The role is taken away.")),
    USER_CHANGED: Notice(N_("The account is changed.")),
    USER_DISABLED: Notice(N_("The account is disabled and signed out everywhere.")),
    USER_ENABLED: Notice(N_("The account is enabled. It has the roles that it had.")),
    USER_DELETED: Notice(N_("The account is deleted, with all that belonged to it.")),
    USER_UNLOCKED: Notice(N_("The account is unlocked: it has all its tries back.")),
    USER_LOGGED_OUT: Notice(N_("The account is signed out everywhere, and no device of it is known any more.")),
    USER_SESSION_ENDED: Notice(N_("The session has ended.")),
    USER_MFA_RESET: Notice(N_("Two-step sign-in is off for this account, and it is signed out everywhere.")),
    USER_RESET_SENT: Notice(N_("A mail with the link to set a new password is on its way.")),
}
