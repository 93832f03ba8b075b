"""What is measured, a part in each file: `run(options)` gives its trials."""
