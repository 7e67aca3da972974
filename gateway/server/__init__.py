"""The ASGI application: routes and handlers, one file per subject. No other folder imports Litestar."""
