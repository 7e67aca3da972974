"""Makes datasets: reads records, judges and scrubs them, and stores the rows."""
