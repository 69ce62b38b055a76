"""Re-reads a plan, a witness log or a report and names what is wrong in it, with none of the planners' code."""

from shunter.topology.recheck.failed_over import check_failover
from shunter.topology.recheck.of_log import check_log
from shunter.topology.recheck.of_plan import check_plan
from shunter.topology.recheck.of_report import check_report
from shunter.topology.recheck.of_resume import check_resume
from shunter.topology.recheck.violation import Violation

__all__ = ["Violation", "check_failover", "check_log", "check_plan", "check_report", "check_resume"]
