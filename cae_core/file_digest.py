"""Where scripts of before look for the digest of a file; it stands in `cae_core.files.digests`."""

from cae_core.files.digests import sha256_of_file

__all__ = ["sha256_of_file"]
