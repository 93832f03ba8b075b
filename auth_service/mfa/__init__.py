"""The second factor: TOTP, recovery codes, and the challenge between password and code."""
