"""The sides that the service is compared with, an app or a program each."""
