"""The signed request: what the template assumes is, byte for byte, what libxml2 canonicalises, and xmlsec verifies it."""
