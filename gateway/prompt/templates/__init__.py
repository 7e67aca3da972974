"""One template file: read, checked, rendered."""
