"""The built wheel, away from the checkout."""
