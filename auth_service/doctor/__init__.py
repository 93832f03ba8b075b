"""What is wrong with an installation, each by its setting and with its remedy."""
