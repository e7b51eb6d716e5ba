"""The certificate issuance system (証明発行システム): has what certificates are made of, and which cards are valid, by its own queue."""

from adapters.certificate_issuance.adapter import CertificateIssuanceAdapter

__all__ = ["CertificateIssuanceAdapter"]
