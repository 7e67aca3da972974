"""Who is rewritten, who is a control, and what it was measured to gain."""
