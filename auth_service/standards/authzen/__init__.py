"""The permission check as a policy decision point of the OpenID AuthZEN Authorization API 1.0."""
