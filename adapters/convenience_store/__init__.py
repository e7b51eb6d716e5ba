"""The certificate issuance centre (証明書交付センター): it asks, at our listener, and is asked nothing."""

from adapters.convenience_store.adapter import ConvenienceStoreAdapter

__all__ = ["ConvenienceStoreAdapter"]
