"""What becomes of what Redis answers: only a fault of our own is one, and only what is lasting is told so."""

from __future__ import annotations

import logging

import pytest
import redis
from redis._parsers.base import BaseParser

from service import errors
from service.redis_access.replies import service_error, translated

IN_SCRIPT = " script: 7c2ba, on @user_script:12."


def raised(reply: str, command: str = "") -> Exception:
    """What redis-py makes of an error reply, in a pipeline where `command` is given."""
    error: Exception = BaseParser.parse_error(reply)
    if command:
        error.args = (f"Command # 1 ({command}) of pipeline caused error: {error}", *error.args[1:])
    return error


@pytest.mark.parametrize("command", ["", "EVALSHA WRONGTYPE user_script:1: syntax error"])
@pytest.mark.parametrize(
    "reply",
    [
        "BUSY Valkey is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
        "ERR Script killed by user with SCRIPT KILL." + IN_SCRIPT,
        "LOADING Valkey is loading the dataset in memory",
        "READONLY You can't write against a read only replica." + IN_SCRIPT,
        "MISCONF Errors writing to the AOF file: No space left on device" + IN_SCRIPT,
        "NOREPLICAS Not enough good replicas to write." + IN_SCRIPT,
        "UNBLOCKED force unblock from blocking operation, instance state changed",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "CLUSTERDOWN The cluster is down",
        "ERR max number of clients reached",
        "ERR upstream failure of a proxy",
        "NEWWORD of a version that nobody has seen",
        "",
    ],
)
def test_answers_of_redis_are_an_outage_unless_they_are_listed(reply: str, command: str) -> None:
    """Retryable for devices, 503 over REST, whatever stands in the command that the text names."""
    with pytest.raises(errors.StoreUnavailable) as found, translated():
        raise raised(reply, command)
    assert type(found.value) is errors.StoreUnavailable
    assert (found.value.code, found.value.retryable, found.value.status) == (
        *("store_unavailable", True),
        503,
    )


def test_message_of_an_outage_names_the_word_of_redis() -> None:
    error = service_error(raised("BUSY Valkey is busy running a script."))
    assert error is not None
    assert error.message == "Redis does not take this now (BUSY): try again later."


@pytest.mark.parametrize(
    "error",
    [
        raised("WRONGTYPE Operation against a key holding the wrong kind of value" + IN_SCRIPT),
        raised("ERR user_script:12: attempt to perform arithmetic on a nil value" + IN_SCRIPT),
        raised("ERR Error compiling script (new function): user_script:1: unexpected symbol"),
        raised("ERR wrong number of arguments for 'hget' command"),
        raised("ERR value is not an integer or out of range"),
        redis.DataError("Invalid input of type: 'NoneType'"),
    ],
)
def test_fault_of_our_own_stays_what_it_is(error: Exception) -> None:
    """Repeating it is in vain: it has to be seen, with its traceback."""
    with pytest.raises(type(error)) as found, translated():
        raise error
    assert found.value is error


@pytest.mark.parametrize(
    "reply",
    [
        "NOPERM User u has no permissions to run the 'info' command",
        "NOAUTH Authentication required.",
        "WRONGPASS invalid username-password pair or user is disabled.",
        "ERR ACL failure in script: User u has no permissions to run the 'hset' command"
        + IN_SCRIPT,
        "ERR unknown command 'EVALSHA', with args beginning with: ",
    ],
)
def test_what_a_person_has_to_set_right_keeps_data_and_is_told(
    reply: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Devices keep what they have; the client hears no name of a user, the log has it all."""
    with caplog.at_level(logging.ERROR):
        error = service_error(raised(reply))
    assert isinstance(error, errors.StoreRefuses)
    assert (error.code, error.retryable) == ("store_unavailable", True)
    assert "User u" not in error.message
    assert caplog.records[0].__dict__["reason"] in reply


@pytest.mark.parametrize("command", ["", "SET a b"])
def test_full_redis_is_overloaded(command: str) -> None:
    error = service_error(
        raised("OOM command not allowed when used memory > 'maxmemory'.", command)
    )
    assert isinstance(error, errors.Overloaded)
