"""rsfilter: the route-server filter behind ExaBGP for hosts that speak BGP."""

__version__ = "0.2.0"
