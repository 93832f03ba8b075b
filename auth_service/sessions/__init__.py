"""Sessions, refresh token families and the login history."""
