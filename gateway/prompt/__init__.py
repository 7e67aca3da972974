"""From a prompt to a better one: classify, match a template, fill its slots, guard the result."""
