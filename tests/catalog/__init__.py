"""Models, token counts, worst cases."""
