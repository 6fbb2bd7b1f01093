"""Running it: the `paydesk` command, its processes, benchmarks, load and chaos tools."""
