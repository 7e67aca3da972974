"""What workers share from request to request: counters and cool-downs."""
