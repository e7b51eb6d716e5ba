"""Keys, sealing of payloads, blind indexes and the encryption of messages on queues."""
