"""The ASGI application: routes and handlers, one file for each subject. Only this folder knows Litestar."""
