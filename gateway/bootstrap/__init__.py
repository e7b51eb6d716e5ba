"""The only place where things are put together: the two kinds of process of a gateway, from a configuration.

``gateway``: the doors (HTTPS and AMQP), the operators' API, metrics. ``worker``: deliveries. Both open the same ledger and broker
(``base``); a supervisor (``gateway/supervisor.py``) runs the embedded broker and as many of them as the configuration says.
"""
