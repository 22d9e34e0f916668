//! Envoy's external authorization protocol: wire types at the edge, listeners, limits, drain.
