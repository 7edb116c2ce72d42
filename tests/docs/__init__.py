"""The README's tables and examples, held to the code."""
