"""What the shape of the code promises, held by reading it."""
