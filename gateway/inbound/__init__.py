"""In from the parties: their listeners, what arrives there, and the acknowledgements of our own systems that have it."""
