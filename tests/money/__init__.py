"""What calls cost, however they end."""
