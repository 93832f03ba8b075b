"""What admins do: accounts, the support of users, and what the audit trail and the outbox hold."""
