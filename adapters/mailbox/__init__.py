"""Parties with a mailbox over HTTPS: what they have for us waits there until it is fetched, and what we have for them is put there."""
