"""Doing it: procedures that await a cluster, in an order that matters. Knows nothing of Prefect."""
