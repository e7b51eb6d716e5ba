"""RabbitMQ: connection, topology, publisher, consumer, the embedded node. Start reading at :mod:`gateway.broker.connection`."""

from gateway.broker import topology
from gateway.broker.consumer import Consumer, QueueDepth
from gateway.broker.endpoint import BrokerEndpoint
from gateway.broker.lines import PublishCounters
from gateway.broker.node import EmbeddedNode, TlsListener
from gateway.broker.publisher import Publisher
from gateway.broker.subscription import Delivery, Subscription

__all__ = [
    "BrokerEndpoint",
    "Consumer",
    "Delivery",
    "EmbeddedNode",
    "PublishCounters",
    "Publisher",
    "QueueDepth",
    "Subscription",
    "TlsListener",
    "topology",
]
