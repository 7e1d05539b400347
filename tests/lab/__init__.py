"""Real programs in a private network, for tests and for the demo.

`Lab` is the network. In it run `BirdHost`, `BirdRouter`, `FrrRouter`, `GoBgpRouter`, `StayRtr` and
`RouteServer` (ExaBGP with rsfilter); each is in a directory of its own with its log. Expectations
are sentences that wait: `router.has("203.0.113.1/32", next_hop=..., paths=2)`.
"""
