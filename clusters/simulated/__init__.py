"""The simulated cluster: nodes, VMs, volumes, backups and troubles in real, scaled or virtual time."""

from shunter.clusters.simulated.cluster import SimulatedCluster
from shunter.clusters.simulated.drawing import draw_faults
from shunter.clusters.simulated.faults import Fault, read_faults
from shunter.clusters.simulated.remote import RemoteCluster

__all__ = ["Fault", "RemoteCluster", "SimulatedCluster", "draw_faults", "read_faults"]
