"""Retention: what is kept how long, in every place that holds data; what is past its time is erased, on record and with proof (I9)."""
