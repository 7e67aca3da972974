"""Cron jobs that learn from recorded exchanges."""
