"""How long tests wait for what must come: longer than a machine of a third of the speed needs, with both cores busy.

Only what is broken is waited for so long.
"""

PATIENCE_S = 600.0
