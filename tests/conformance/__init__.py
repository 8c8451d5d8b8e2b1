"""The conformance suites of the Model Context Protocol, run against the gateway: `make conformance`."""
