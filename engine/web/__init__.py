"""The web app: tracking API, unsubscribe and click links, health, and the local pages.

`app` puts it together from a `Services`; `serve` (one directory up) gives it a running engine.
Routes with volume are raw Starlette with msgspec; the rest is plain FastAPI.
"""
