"""Whose the objects are that OpenAI keeps, and what a call reaches beyond its model."""
