"""Change sets and rollbacks for moto's CloudFormation, as AWS documents them.

moto makes the stack of a change set without the exports of other stacks, adds none of its own, and
has no rollback. `teach` replaces how change sets are executed and how stacks are deleted.
"""

from moto.cloudformation.models import ChangeSet, CloudFormationBackend, Stack

_delete_stack = Stack.delete
_RETAIN = ("Retain", "RetainExceptOnCreate")


def teach() -> None:
    """Make this process's CloudFormation behave as AWS documents it."""
    CloudFormationBackend.execute_change_set = _execute  # type: ignore[method-assign]
    CloudFormationBackend.delete_stack = _delete  # type: ignore[method-assign]
    Stack.stack_parameters = property(_parameters)  # type: ignore[method-assign, assignment]


def _parameters(stack: Stack) -> dict[str, str]:
    """Return the values as they were given, or else the defaults.

    moto returns the value of a parameter of SSM in place of its name.
    """
    told = stack.template_dict.get("Parameters", {})
    defaults = {name: one["Default"] for name, one in told.items() if "Default" in one}
    return defaults | stack.parameters


def _execute(
    backend: CloudFormationBackend, change_set_name: str, stack_name: str | None = None
) -> None:
    """Create or update the stack of a change set, or undo the part that was done."""
    change_set = backend.describe_change_set(change_set_name)
    assert change_set is not None
    stack = backend.stacks[change_set.stack_id]
    _forget_exports(backend, stack)
    is_new = change_set.change_set_type == "CREATE"
    (_create if is_new else _update)(backend, stack, change_set)
    change_set.execution_status = "EXECUTE_COMPLETE"
    backend.exports.update({export.name: export for export in stack.exports})


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
            for resource in stack.template_dict["Resources"].values():
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
