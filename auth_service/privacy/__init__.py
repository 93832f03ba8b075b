"""One's own data: taking it along. Erasure is users.service.delete_user, by the foreign keys of models."""
