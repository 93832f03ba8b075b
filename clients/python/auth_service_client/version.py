"""The version of the package, and what requests say of it."""

__version__ = "0.1.0"
USER_AGENT = f"auth-service-client/{__version__}"
