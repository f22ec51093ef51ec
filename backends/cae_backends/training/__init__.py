"""Training of whole pools: a source, models derived from it as a thief would, and independent references.

Nothing here imports a framework: `jobs` and `pool_jobs` are cheap, and the torch code lies in the modules that
only a worker process loads.
"""
