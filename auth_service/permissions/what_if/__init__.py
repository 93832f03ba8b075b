"""What a change of access would do to people, or did: who gains and who loses what, and when."""
