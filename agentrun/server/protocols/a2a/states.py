"""The states of tasks, by their names in 1.0."""

from __future__ import annotations

SUBMITTED = "TASK_STATE_SUBMITTED"
WORKING = "TASK_STATE_WORKING"
COMPLETED = "TASK_STATE_COMPLETED"
FAILED = "TASK_STATE_FAILED"
CANCELED = "TASK_STATE_CANCELED"
INPUT_REQUIRED = "TASK_STATE_INPUT_REQUIRED"

# Nothing happens to these tasks any more.
ENDED = frozenset({COMPLETED, FAILED, CANCELED, "TASK_STATE_REJECTED"})
# Nor to these, before their client says something.
AT_REST = ENDED | {INPUT_REQUIRED}
ALL = AT_REST | {SUBMITTED, WORKING, "TASK_STATE_AUTH_REQUIRED"}
