from tests.support.broker import authority, broker_node, declared, endpoint, names

__all__ = ["authority", "broker_node", "declared", "endpoint", "names"]
