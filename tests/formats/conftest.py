from tests.support.broker import authority, broker_node, endpoint
from tests.support.postgres import ledger_url, postgres_server, postgres_url

__all__ = ["authority", "broker_node", "endpoint", "ledger_url", "postgres_server", "postgres_url"]
