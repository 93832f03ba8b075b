"""The pages of those who administer: over the services of the API, by its permissions."""
