"""What lies beyond the parties that the gateway calls: other municipalities, J-LIS with its number authority, integrated terminals.

They are reached through the city CS only, so what happens to them stands in its journal. The prefecture server and the card management
system are parties of their own (:mod:`.prefecture`, :mod:`.cards`); :mod:`.service` puts all of them into one process, the *world*.
"""
