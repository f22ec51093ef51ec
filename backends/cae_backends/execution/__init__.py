"""Where work runs: in processes of this machine, on a Dask cluster, or in any executor. Nothing here knows what it is.

`crew` says what all of them offer, `local`, `dask` and `executor` are one each, and `stopping` is how work that runs
learns that nobody waits for it any more. `telling` is how it says how far it is, and `complaints` where goes what its
process prints.
"""
