"""The simulated cluster: nodes, VMs, volumes, backups and troubles in real, scaled or virtual time."""

from shunter.clusters.simulated.cluster import SimulatedCluster
from shunter.clusters.simulated.faults import Fault, draw_faults, read_faults

__all__ = ["Fault", "SimulatedCluster", "draw_faults", "read_faults"]
