"""RTR (RFC 8210) over librtr: an island that knows only sets of VRPs of rsfilter.

    librtr, librtr_build, librtr_shim.c   the binding
    caches                                all caches connected, one active
    failover                              choice of the active cache (pure)
    ages                                  data that stand still, caches that differ (pure)

Only this room needs librtr.
"""
