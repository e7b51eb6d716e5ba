"""The city CS (市町村CS) of the Juki-net, simulated: a second, independent implementation of the profile.

The way of a call: :mod:`.party` (peer, fault, journal) → :mod:`.envelope` (SOAP in) → :mod:`.residents` and :mod:`.checks` (what it does)
→ :mod:`.envelope` (SOAP out). The profile is ours; no conformity with the real city CS, whose specification is not public, is claimed.
"""
