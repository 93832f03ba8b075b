"""The authentication and access service of an online cinema."""

__version__ = "0.1.0"
