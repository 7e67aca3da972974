"""State that workers share between requests: counters and cool-downs."""
