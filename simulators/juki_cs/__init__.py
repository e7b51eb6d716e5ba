"""The city CS (市町村CS) of the Juki-net, simulated: a second, independent implementation of the profile.

The way of a call: :mod:`simulators.soap` (peer, signature, fault, journal) → :mod:`.updates`, :mod:`.residents` and :mod:`.checks` (the hot
path), or :mod:`.relays` and :mod:`.identity` (everything else); :mod:`.doing` is what begins on the other side. The profile is ours; no
conformity with the real city CS, whose specification is not public, is claimed.
"""
