"""What every module may use; it knows no module."""
