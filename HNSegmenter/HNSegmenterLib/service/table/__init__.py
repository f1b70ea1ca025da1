"""The table of jobs and deliveries, in SQLite or in Redis."""
