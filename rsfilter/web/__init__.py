"""HTTP beside the filter: reads the live tables in slices, and never delays a route.

    server, same_site, requests, responses   connections: limits, hosts, origins, tokens, responses
    parameters                               parameters of requests, with their descriptions
    endpoints, openapi, parameters, schema, status_schema
                                             every path, and the JSON of each response
    fleet_schema                             the JSON of the fleet
    handlers/                                one file for each family of paths
    context, api                             the parts of the filter that handlers read
    table_reader, event_stream               the table in slices; live events
    birdwatcher, birdwatcher_schema          answers of the looking glass
    looking_glass, arrival_times             its counts; times of arrival
    health, data_ages, host_checks           /healthz, /readyz; warnings of data and of hosts
    metrics, data_metrics, metric_families   /metrics
    workers, frames, confinement             processes for expensive requests
    impact_worker, audit_worker, bounds      their work; their limits
    connections, tls                         idle connections; the certificate
    owners                                   hosts to which truth gives a prefix
    page, static/                            the page

docs/api.md describes the API.
"""
