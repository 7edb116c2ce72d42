"""One call's life: its phases, and how it ends."""
