"""Registration, login, refresh, logout and service tokens."""
