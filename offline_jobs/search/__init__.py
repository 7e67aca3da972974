"""The search for a better version of a template."""
