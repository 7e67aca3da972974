"""From a query to the values of a template's slots."""
