"""HTTP beside the filter: it reads the same tables, in slices, and never delays a route.

    server, same_site, requests, responses   the door: limits, hosts, origins, tokens, answers
    parameters                               what a request may ask for, in words
    endpoints, openapi, schema, status_schema   every path, and the JSON of each answer
    fleet_schema                             that of the fleet
    handlers/                                one file for each family of paths
    context, api                             the parts of the filter that handlers read
    table_reader, event_stream               the table in slices; what happens, live
    health, metrics                          /healthz, /readyz, /metrics
    workers, frames, confinement             processes for requests that may cost much
    impact_worker, audit_worker, bounds      what they do; how much they take
    connections, tls                         those on which nothing is asked; the certificate
    owners                                   hosts to which truth gives a prefix
    page, static/                            the page

docs/api.md describes the API.
"""
