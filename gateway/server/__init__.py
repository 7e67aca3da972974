"""HTTP: Litestar is known here alone; one file a noun."""
