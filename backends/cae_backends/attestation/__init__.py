"""Who vouches for a seal: signatures and timestamps."""
