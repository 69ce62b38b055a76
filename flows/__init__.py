"""Prefect: flows and tasks, locks, events, artifacts, registered clusters. The only room that imports `prefect`."""
