"""Certificates: a test authority, TLS contexts, who the peer is, and whether its certificate path holds.

Imports nothing of ours: the gateway, the simulators and the tests share this one package, so that both ends of a connection are
judged by the same rule, and that rule is cross-checked against ``openssl verify`` in the tests.
"""
