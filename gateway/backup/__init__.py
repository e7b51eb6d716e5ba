"""Backups of the ledger: encrypted, signed, without what no backup may have; and the way back (R24)."""
