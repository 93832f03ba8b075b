"""Webhooks: events sent to addresses that admins have registered, by the Standard Webhooks specification."""
