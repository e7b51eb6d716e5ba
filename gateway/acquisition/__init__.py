"""Numbers and codes of the information provision network (F6-1, FS6-4): who may have a replica, and code acquisition as a saga.

:mod:`.machine` decides, on rows; :mod:`.steps` sees in a message which step it is; :mod:`gateway.ledger.acquisitions` has the rows.
"""
