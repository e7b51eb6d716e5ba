"""The resident record system (住民記録システム), simulated: it hands its messages to the gateway and remembers what it was told.

The way of a message: :mod:`.source` (what happened in the city) → :mod:`.lanes` (order per resident) → :mod:`.record` (written before it is
sent) → :mod:`.amqp_door` or :mod:`.https_door` → receipt → :mod:`.record`. It shares no code with the gateway.
"""
