"""SOAP parties, simulated: what every party that has a SOAP profile does, whatever its operations mean.

:mod:`.envelope` reads calls and writes answers of any profile, :mod:`.security` proves whose they are, :mod:`.party` is the way of a call
from the door to the journal and back, :mod:`.notices` calls the gateway, :mod:`.outbox` sees to it that what a party must send arrives.
"""
