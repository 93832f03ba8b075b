"""Roles, their inheritance and the grants to users."""
