"""Shunter moves running VMs between the nodes of a Hyper-V failover cluster."""
