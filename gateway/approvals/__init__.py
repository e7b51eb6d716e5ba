"""Four eyes: what one person may ask for and another must decide, and what an operator may do. Pure; the ledger keeps the record."""
