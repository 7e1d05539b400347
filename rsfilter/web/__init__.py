"""HTTP beside the filter: reads the live tables in slices, and never delays a route.

    server, connections, tls                 connections: limits, idle ones, the certificate
    requests, same_site, parameters          hosts, origins and tokens; parameters
    endpoints, openapi, handlers/            every path, its description, the code behind it
    responses                                responses with their headers, and errors
    schema, status_schema, fleet_schema          their JSON: routes and data, status, a fleet
    context, api                             the parts of the filter that handlers read
    table_reader, event_stream               the table in slices; live events
    birdwatcher, birdwatcher_schema          responses to a looking glass
    looking_glass, arrival_times                 its counts; times of arrival
    health, data_ages, host_checks           /healthz, /readyz; warnings of data and of hosts
    metrics, data_metrics, metric_families   /metrics
    workers, frames, confinement, bounds     processes for expensive requests; their limits
    impact_worker, audit_worker                  what they work on
    page, static/                            the page
    owners, session_state                    hosts to which truth gives a prefix; states of sessions

docs/api.md describes the API.
"""
