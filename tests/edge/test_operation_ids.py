"""Generated clients call their methods by these names: a change breaks whoever uses one, so it is made on purpose."""

import re
from collections import Counter
from typing import Any

from tests.support.hostile import document

OPERATION_IDS = [
    "add_service_secret",
    "authzen_configuration",
    "authzen_evaluation",
    "authzen_evaluations",
    "authzen_search_action",
    "authzen_search_resource",
    "authzen_search_subject",
    "cancel_email_change",
    "cancel_grant_job",
    "change_email",
    "change_login",
    "change_password",
    "check_permission",
    "check_permissions",
    "confirm_email",
    "confirm_totp",
    "create_grant_job",
    "create_permission",
    "create_role",
    "create_service",
    "create_user",
    "create_webhook",
    "delete_own_account",
    "delete_own_account_by_post",
    "delete_permission",
    "delete_role",
    "delete_service",
    "delete_user",
    "delete_user_by_post",
    "delete_webhook",
    "disable_totp",
    "disable_totp_by_post",
    "end_own_session",
    "end_user_session",
    "explain_user_permission",
    "export_own_data",
    "follow_changes",
    "forward_auth",
    "get_csrf_token",
    "get_grant_job",
    "get_jwks",
    "get_liveness",
    "get_own_account",
    "get_own_login_history",
    "get_permission",
    "get_readiness",
    "get_role",
    "get_second_factor",
    "get_server_metadata",
    "get_user",
    "get_user_login_history",
    "get_webhook",
    "grant_role",
    "introspect_token",
    "issue_service_token",
    "list_audit_entries",
    "list_audit_people",
    "list_events",
    "list_grant_job_rows",
    "list_grant_jobs",
    "list_grants",
    "list_own_devices",
    "list_own_sessions",
    "list_permission_users",
    "list_permissions",
    "list_roles",
    "list_services",
    "list_user_permissions",
    "list_user_roles",
    "list_user_sessions",
    "list_users",
    "list_webhook_deliveries",
    "list_webhooks",
    "log_in",
    "log_in_with_code",
    "log_out",
    "log_out_all",
    "log_out_others",
    "log_out_user",
    "ping_webhook",
    "refresh_tokens",
    "register",
    "rename_own_device",
    "replace_recovery_codes",
    "request_email_confirmation",
    "request_password_reset",
    "reset_password",
    "reset_second_factor",
    "revoke_own_device",
    "revoke_role",
    "revoke_token",
    "rotate_webhook_secret",
    "send_password_reset",
    "start_totp",
    "step_up",
    "unlock_user",
    "update_own_account",
    "update_permission",
    "update_role",
    "update_user",
    "update_webhook",
]


def _operations() -> list[dict[str, Any]]:
    return [operation for item in document()["paths"].values() for operation in item.values()]


def test_operation_ids_change_on_purpose() -> None:
    found = Counter(operation["operationId"] for operation in _operations())
    assert sorted(found) == OPERATION_IDS
    assert set(found.values()) == {1}


def test_every_body_and_every_answer_has_a_type_of_its_own_name() -> None:
    """What is written out where it is used gets a name of the generator's making, such as BodyLogInPost."""
    for operation in _operations():
        bodies = operation.get("requestBody", {}).get("content", {})
        assert len(bodies) <= 1, operation["operationId"]  # a generator makes nothing good of two
        assert all("$ref" in body["schema"] for body in bodies.values()), operation["operationId"]
        for status, answer in operation["responses"].items():
            assert answer["description"] not in {"", "Successful Response"}, (operation["operationId"], status)
            for media in answer.get("content", {}).values():
                assert media["schema"], (operation["operationId"], status)


def test_no_schema_has_a_field_of_its_own_name() -> None:
    """openapi-python-client reads such an answer into one variable, and loses one of the two."""
    for name, schema in document()["components"]["schemas"].items():
        own = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
        assert own not in schema.get("properties", {}), name


def test_what_is_left_out_is_never_null() -> None:
    """Nor is there a title that says a field's name once more."""
    schemas = document()["components"]["schemas"]
    for name in (
        "CheckAnswer",
        "TokensAnswer",
        "CookieTokensAnswer",
        "IntrospectionAnswer",
        "ErrorAnswer",
        "Readiness",
    ):
        for field, schema in schemas[name]["properties"].items():
            assert {"type": "null"} not in schema.get("anyOf", []), (name, field)
            assert "title" not in schema
