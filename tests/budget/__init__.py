"""What is counted against whom, and never over a cap."""
