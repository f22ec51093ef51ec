"""Who vouches for a seal, and since when: signatures, timestamps, and the seals that bear them."""
