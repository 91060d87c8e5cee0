"""What a prediction costs: see README.md."""
