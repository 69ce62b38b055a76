"""Rolling maintenance: the order of nodes, how many at once, and targets over the whole run, so that each VM moves as
few times as possible (R16, I3, I5, I6).
"""

from shunter.topology.rolling.planning import forecast, plan_rolling
from shunter.topology.rolling.policy import RollingPolicy

__all__ = ["RollingPolicy", "forecast", "plan_rolling"]
