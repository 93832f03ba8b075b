"""The OpenAPI document says of these routes what holds for them, and not what holds elsewhere."""

from tests.support.authzen_world import ACCESS
from tests.support.hostile import document

OPERATIONS = {
    f"{ACCESS}/evaluation": "authzen_evaluation",
    f"{ACCESS}/evaluations": "authzen_evaluations",
    f"{ACCESS}/search/subject": "authzen_search_subject",
    f"{ACCESS}/search/resource": "authzen_search_resource",
    f"{ACCESS}/search/action": "authzen_search_action",
}


def test_a_wrong_question_is_a_400() -> None:
    for path, name in OPERATIONS.items():
        operation = document()["paths"][path]["post"]
        assert operation["operationId"] == name
        assert operation["security"] == [{"access token": []}, {"cookie": []}]
        assert {"200", "400", "401", "403", "413", "415", "503"} <= operation["responses"].keys(), path
        assert "422" not in operation["responses"], path
        for code in ("validation_error", "unsupported_media_type", "invalid_json"):
            assert f"`{code}`" in operation["responses"]["400"]["description"], path
        body = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        assert document()["components"]["schemas"][body].get("additionalProperties", True) is True


def test_anybody_may_read_the_metadata() -> None:
    operation = document()["paths"]["/.well-known/authzen-configuration"]["get"]
    assert operation["operationId"] == "authzen_configuration"
    assert "security" not in operation
    assert "401" not in operation["responses"]
