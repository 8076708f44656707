"""Change sets and rollbacks for moto's CloudFormation, as AWS documents them.

moto makes the stack of a change set without the exports of other stacks, adds none of its own, and
has no rollback. It looks a change set up by its name alone, and the CDK gives those of all stacks
the same name. `teach` replaces how change sets are found and executed, and how stacks are deleted.
"""

from typing import Any

from moto.cloudformation.exceptions import CloudFormationError
from moto.cloudformation.models import ChangeSet, CloudFormationBackend, Stack
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.responses import ActionResult, EmptyResult

_delete_stack = Stack.delete
_RETAIN = ("Retain", "RetainExceptOnCreate")


class ChangeSetNotFoundError(CloudFormationError):
    """The stack has no such change set."""

    code = "ChangeSetNotFound"

    def __init__(self, name: str) -> None:
        super().__init__(f"ChangeSet [{name}] does not exist")


def teach() -> None:
    """Make this process's CloudFormation behave as AWS documents it."""
    CloudFormationResponse.describe_change_set = _describe  # type: ignore[method-assign]
    CloudFormationResponse.delete_change_set = _forget  # type: ignore[method-assign]
    CloudFormationResponse.execute_change_set = _execute  # type: ignore[method-assign]
    CloudFormationBackend.delete_stack = _delete  # type: ignore[method-assign]
    Stack.stack_parameters = property(_parameters)  # type: ignore[method-assign, assignment]


def _parameters(stack: Stack) -> dict[str, str]:
    """Return the values as they were given, or else the defaults.

    moto returns the value of a parameter of SSM in place of its name.
    """
    told = stack.template_dict.get("Parameters", {})
    defaults = {name: one["Default"] for name, one in told.items() if "Default" in one}
    return defaults | stack.parameters


def _find(response: Any) -> ChangeSet | None:
    """Return the newest change set that a request names by its id, or by its name and its stack."""
    name, stack_name = response._get_param("ChangeSetName"), response._get_param("StackName")
    backend: CloudFormationBackend = response.cloudformation_backend
    for change_set in reversed(backend.change_sets.values()):
        stack = backend.stacks.get(change_set.stack_id)
        is_of_stack = stack is not None and stack_name in (stack.name, stack.stack_id)
        if change_set.change_set_id == name or (change_set.change_set_name == name and is_of_stack):
            return change_set
    return None


def _describe(response: Any) -> ActionResult:
    change_set = _find(response)
    if change_set is None:
        raise ChangeSetNotFoundError(response._get_param("ChangeSetName"))
    return ActionResult(change_set)


def _forget(response: Any) -> EmptyResult:
    """Delete a change set; it is no error if there is none."""
    change_set = _find(response)
    if change_set is not None:
        del response.cloudformation_backend.change_sets[change_set.change_set_id]
    return EmptyResult()


def _execute(response: Any) -> EmptyResult:
    """Create or update the stack of a change set, or undo the part that was done."""
    change_set = _find(response)
    if change_set is None:
        raise ChangeSetNotFoundError(response._get_param("ChangeSetName"))
    backend = response.cloudformation_backend
    stack = backend.stacks[change_set.stack_id]
    _forget_exports(backend, stack)
    is_new = change_set.change_set_type == "CREATE"
    (_create if is_new else _update)(backend, stack, change_set)
    change_set.execution_status = "EXECUTE_COMPLETE"
    backend.exports.update({export.name: export for export in stack.exports})
    return EmptyResult()


def _create(backend: CloudFormationBackend, stack: Stack, change_set: ChangeSet) -> None:
    stack.template, stack.parameters = change_set.template, change_set.parameters
    stack.cross_stack_resources = backend.exports
    stack._parse_template()
    stack.resource_map = stack._create_resource_map()
    stack._add_stack_event("CREATE_IN_PROGRESS", "User Initiated")
    try:
        stack.create_resources()
    except Exception as error:
        _fail(stack, "CREATE_FAILED", error)
        _finish(stack, "ROLLBACK_IN_PROGRESS")
        stack.resource_map.delete()  # all but `Retain`: `RetainExceptOnCreate` is deleted here
        stack.template_dict = {}
        _finish(stack, "ROLLBACK_COMPLETE")
    stack.output_map = stack._create_output_map()


def _update(backend: CloudFormationBackend, stack: Stack, change_set: ChangeSet) -> None:
    old_template, old_parameters = stack.template, stack.parameters
    stack.cross_stack_resources = backend.exports
    stack.resource_map.cross_stack_resources = backend.exports
    try:
        stack.update(change_set.template, parameters=change_set.parameters)
    except Exception as error:
        _fail(stack, "UPDATE_FAILED", error)
        _finish(stack, "UPDATE_ROLLBACK_IN_PROGRESS")
        assert isinstance(old_template, str)
        stack.update(old_template, parameters=old_parameters)
        _finish(stack, "UPDATE_ROLLBACK_COMPLETE")


def _delete(backend: CloudFormationBackend, name_or_stack_id: str) -> None:
    """Delete a stack, without the resources that its template retains."""
    for stack in list(backend.stacks.values()):
        if name_or_stack_id not in (stack.stack_id, stack.name):
            continue
        _forget_exports(backend, stack)
        if stack.status not in ("ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS"):
            for resource in stack.resource_map._resource_json_map.values():
                if resource.get("DeletionPolicy") in _RETAIN:
                    resource["DeletionPolicy"] = "Retain"
            _delete_stack(stack)
        stack.status = "DELETE_COMPLETE"
        backend.deleted_stacks[stack.stack_id] = backend.stacks.pop(stack.stack_id)


def _forget_exports(backend: CloudFormationBackend, stack: Stack) -> None:
    own = [
        name for name, one in backend.exports.items() if one.exporting_stack_id == stack.stack_id
    ]
    for name in own:
        del backend.exports[name]


def _fail(stack: Stack, status: str, error: Exception) -> None:
    stack._add_stack_event(status, getattr(error, "message", None) or str(error))


def _finish(stack: Stack, status: str) -> None:
    stack.status = status
    stack._add_stack_event(status)
