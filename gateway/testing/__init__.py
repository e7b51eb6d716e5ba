"""Shipped test support for authors of adapters; needs pytest and pytest-asyncio. The gateway itself never imports it."""
