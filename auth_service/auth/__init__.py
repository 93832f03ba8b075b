"""Sign in, refresh, sign out; how tokens travel; forward authentication."""
