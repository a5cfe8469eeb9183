"""The storages of services: in memory, in Redis, in a database."""
