"""One template file: reading, checking, rendering."""
