"""Reservation arithmetic. Pure: the time comes in, the counts are values."""
