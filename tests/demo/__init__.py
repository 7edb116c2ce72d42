"""`make demo`: the main job on the embedded default, as a user would do it."""
