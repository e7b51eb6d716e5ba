"""What ``renkei check`` looks at before a start, one module for each part; :mod:`gateway.checks.preflight` puts them together."""
