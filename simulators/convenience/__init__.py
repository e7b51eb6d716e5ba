"""Certificates at convenience stores: kiosks and the certificate centre, the issuing system, the family register system. All fictitious."""
