"""The intermediate server (中間サーバー) and, behind it, the information provision network, simulated in one process.

:mod:`.party` is what the gateway calls and what calls the gateway; :mod:`.network` is what lies beyond it: processing numbers, codes
(符号), the permission list, permits; :mod:`.inquiries` answers other bodies from the replica. The gateway takes no part in an answer.
"""
