"""The official Python client against a server: check.py HOST:PORT prints a line a check, and ends with 1 if one fails."""

import json
import sys
import traceback
from uuid import uuid4

from kurrentdbclient import KurrentDBClient, NewEvent, StreamState
from kurrentdbclient.exceptions import NotFoundError, WrongCurrentVersionError

SECONDS = 20
checks = []


def check(function):
    checks.append(function)
    return function


def equal(got, wanted):
    if got != wanted:
        raise AssertionError(f"got {got!r}, wanted {wanted!r}")


def fails(error, function):
    try:
        got = function()
    except error as raised:
        return raised
    raise AssertionError(f"got {got!r}, wanted {error.__name__}")


def new_stream():
    return f"python-{uuid4()}"


def event(number):
    return NewEvent(type=f"Type{number}", data=json.dumps({"n": number}).encode(), metadata=b'{"from": "python"}')


def events(*numbers):
    return [event(number) for number in numbers]


def filled(client, count):
    stream = new_stream()
    for number in range(count):
        client.append_event(stream, current_version=StreamState.ANY, event=event(number))
    return stream


def numbers(read):
    return [(e.stream_position, json.loads(e.data)["n"]) for e in read]


def pairs(*values):
    return [(value, value) for value in values]


@check
def appends_and_reads_back_what_was_written(client):
    stream, written = new_stream(), event(0)
    client.append_event(stream, current_version=StreamState.NO_STREAM, event=written)
    (read,) = client.get_stream(stream)
    equal(
        (read.id, read.type, read.data, read.metadata, read.content_type, read.stream_name, read.stream_position),
        (written.id, "Type0", b'{"n": 0}', b'{"from": "python"}', "application/json", stream, 0),
    )


@check
def finds_no_groups_when_it_cleans_up(client):
    stream = filled(client, 1)
    equal(list(client.list_subscriptions()), [])
    equal(list(client.list_subscriptions_to_stream(stream)), [])
    fails(NotFoundError, lambda: client.delete_subscription("group", stream_name=stream))
    fails(NotFoundError, lambda: client.get_subscription_info("group", stream_name=stream))


@check
def appends_bytes_that_are_no_json(client):
    stream, data = new_stream(), bytes(range(256))
    written = NewEvent(type="Raw", data=data, content_type="application/octet-stream")
    client.append_event(stream, current_version=StreamState.ANY, event=written)
    (read,) = client.get_stream(stream)
    equal((read.data, read.content_type), (data, "application/octet-stream"))


@check
def appends_several_events_at_once(client):
    stream = new_stream()
    client.append_events(stream, current_version=StreamState.NO_STREAM, events=events(0, 1, 2))
    equal(numbers(client.get_stream(stream)), pairs(0, 1, 2))


@check
def appends_at_every_kind_of_expected_version(client):
    stream = new_stream()
    for number, expected in enumerate([StreamState.NO_STREAM, 0, StreamState.EXISTS, StreamState.ANY, 3]):
        client.append_event(stream, current_version=expected, event=event(number))
    equal(numbers(client.get_stream(stream)), pairs(0, 1, 2, 3, 4))
    equal(client.get_current_version(stream), 4)


@check
def refuses_a_wrong_expected_version_and_names_the_actual_one(client):
    stream = filled(client, 2)
    for expected in [StreamState.NO_STREAM, 0, 7]:
        error = fails(
            WrongCurrentVersionError,
            lambda: client.append_event(stream, current_version=expected, event=event(9)),
        )
        equal(error.actual_version, 1)
    equal(numbers(client.get_stream(stream)), pairs(0, 1))


@check
def refuses_a_wrong_expected_version_of_several_events(client):
    stream = filled(client, 2)
    fails(
        WrongCurrentVersionError,
        lambda: client.append_events(stream, current_version=StreamState.NO_STREAM, events=events(8, 9)),
    )
    equal(numbers(client.get_stream(stream)), pairs(0, 1))


@check
def refuses_to_append_to_a_stream_that_should_exist(client):
    fails(
        WrongCurrentVersionError,
        lambda: client.append_event(new_stream(), current_version=StreamState.EXISTS, event=event(0)),
    )


@check
def writes_an_event_once_that_is_appended_twice(client):
    for expected in [StreamState.NO_STREAM, StreamState.ANY]:
        stream, written = new_stream(), event(0)
        first = client.append_event(stream, current_version=expected, event=written)
        second = client.append_event(stream, current_version=expected, event=written)
        equal((first, numbers(client.get_stream(stream))), (second, pairs(0)))


@check
def reads_forwards_backwards_from_a_position_and_to_a_limit(client):
    stream = filled(client, 5)

    def read(**options):
        return numbers(client.get_stream(stream, **options))

    equal(read(), pairs(0, 1, 2, 3, 4))
    equal(read(backwards=True), pairs(4, 3, 2, 1, 0))
    equal(read(stream_position=2), pairs(2, 3, 4))
    equal(read(stream_position=1, limit=2), pairs(1, 2))
    equal(read(stream_position=3, backwards=True, limit=2), pairs(3, 2))
    equal(read(stream_position=5), [])


@check
def does_not_find_a_stream_that_was_never_written(client):
    fails(NotFoundError, lambda: client.get_stream(new_stream()))
    equal(client.get_current_version(new_stream()), StreamState.NO_STREAM)


@check
def subscribes_catches_up_hears_of_new_events_and_unsubscribes(client):
    stream = filled(client, 3)
    subscription = client.subscribe_to_stream(stream, include_caught_up=True, timeout=SECONDS)
    equal(numbers(next(subscription) for _ in range(3)), pairs(0, 1, 2))
    equal(next(subscription).is_caught_up, True)
    for number in [3, 4]:
        client.append_event(stream, current_version=number - 1, event=event(number))
    equal(numbers(next(subscription) for _ in range(2)), pairs(3, 4))
    subscription.stop()
    equal(list(subscription), [])


@check
def subscribes_from_a_position_from_the_end_and_to_what_is_not_there_yet(client):
    stream = filled(client, 3)
    missing = new_stream()
    after = client.subscribe_to_stream(stream, stream_position=1, timeout=SECONDS)
    end = client.subscribe_to_stream(stream, from_end=True, include_caught_up=True, timeout=SECONDS)
    early = client.subscribe_to_stream(missing, include_caught_up=True, timeout=SECONDS)
    equal((next(end).is_caught_up, next(early).is_caught_up), (True, True))
    client.append_event(stream, current_version=2, event=event(3))
    client.append_event(missing, current_version=StreamState.NO_STREAM, event=event(0))
    equal(numbers(next(after) for _ in range(2)), pairs(2, 3))
    equal(numbers([next(end)]), pairs(3))
    equal(numbers([next(early)]), pairs(0))
    for subscription in [after, end, early]:
        subscription.stop()


def run(client, function):
    name = function.__name__.replace("_", " ")
    try:
        function(client)
    except Exception:
        print(f"python: FAILED {name}\n{traceback.format_exc()}", flush=True)
        return False
    print(f"python: ok {name}", flush=True)
    return True


def main(address):
    client = KurrentDBClient(f"esdb://{address}?tls=false&defaultDeadline={SECONDS}")
    passed = [run(client, function) for function in checks]
    client.close()
    print(f"python: {len(passed)} checks, {passed.count(False)} failed")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
