"""What to do with input that outgrows the window: look inside it, sum it up, or say that it cannot be done."""
