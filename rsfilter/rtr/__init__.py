"""RTR (RFC 8210) over librtr: an island that knows sets of VRPs and nothing else of rsfilter.

    librtr, librtr_build, librtr_shim.c   the binding
    caches                                all caches connected, one deciding
    failover                              which one decides (pure)

Only this room needs librtr.
"""
