"""The audit trail: what admins and operators did, in rows that are chained and only ever appended."""
