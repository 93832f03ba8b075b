"""Mails: written with the change they tell of, sent later."""
