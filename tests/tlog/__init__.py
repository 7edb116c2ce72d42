"""The log's formats and arithmetic."""
