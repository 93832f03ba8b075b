"""What operators do: recover after a restore, seal anew, rotate and retire signing keys."""
