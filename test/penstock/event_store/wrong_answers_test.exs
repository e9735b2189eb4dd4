defmodule Penstock.EventStore.WrongAnswersTest do
  use ExUnit.Case, async: true

  import Penstock.Answerer

  alias Penstock.{Error, Event, EventStore}

  defp store(answer, keys \\ ""),
    do: start_supervised!({EventStore, connection_string: start(answer) <> keys}, id: make_ref())

  test "a read that is cut in the middle of a message and ends with OK is an error" do
    cut = binary_part(event(1), 0, 20)
    store = store(fn _, s -> head(s) <> data(s, [event(0), cut]) <> trailers(s) end)
    assert {:error, %Error{reason: :unavailable, retry?: true} = error} = EventStore.read(store, "s")
    assert error.message =~ "in the middle of a message"
  end

  test "a read that ends without trailers is an error" do
    store = store(fn _, s -> head(s) <> data(s, [event(0), event(1)]) <> ended(s) end)
    assert {:error, %Error{reason: :unavailable, retry?: true}} = EventStore.read(store, "s")
  end

  test "a read whose event cannot be decoded is an error that names the event" do
    store = store(fn _, s -> head(s) <> data(s, [event(0), event(1, id: "x")]) <> trailers(s) end)
    assert {:error, %Error{reason: :protocol, details: %{revision: 1}} = error} = EventStore.read(store, "s")
    assert error.message =~ "the event of revision 1 cannot be decoded"
    refute error.message =~ "gRPC"
  end

  test "an event over the limit of the read is an error that names the one before it" do
    large = event(8, data: String.duplicate("x", 3000))
    store = store(fn _, s -> head(s) <> data(s, [event(7), large]) <> trailers(s) end)
    assert {:error, error} = EventStore.read(store, "s", max_message_size: 2000)
    assert %Error{reason: :message_too_large, details: %{after_revision: 7, maximum: 2000}} = error
    assert {:ok, [_, _]} = EventStore.read(store, "s")
    assert {:error, error} = EventStore.read(store, "s", max_message_size: 2000, direction: :backwards)
    assert %Error{details: %{before_revision: 7}} = error
  end

  test "an append whose answer is lost says that the events may have been written, and can be made again" do
    for answer <- [
          fn _, s -> head(s) <> reset(s, 0) end,
          fn _, s -> head(s) <> ended(s) end,
          fn _, s -> head(s, "502", "text/html") <> data(s, "<html>") <> ended(s) end,
          fn _, _ -> :close end
        ] do
      assert {:error, error} = EventStore.append(store(answer), "s", Event.new("T", 1))
      assert %Error{retry?: true, details: %{may_have_been_written: true}} = error
      assert error.message =~ "may have been written"
    end
  end

  test "an append that the server refused, or that reached none, does not say so" do
    refusing = store(fn _, s -> head(s) <> trailers(s, "7") end)
    assert {:error, %Error{reason: :access_denied} = error} = EventStore.append(refusing, "s", [])
    refute Map.has_key?(error.details, :may_have_been_written)
    refute error.message =~ "may have been written"
    nobody = start_supervised!({EventStore, connection_string: "esdb://127.0.0.1:1?tls=false"})
    assert {:error, %Error{reason: :unavailable, retry?: true} = error} = EventStore.append(nobody, "s", [])
    refute Map.has_key?(error.details, :may_have_been_written)
  end

  test "a call ends when its timeout is over, also without a deadline of the connection" do
    store = store(fn _, stream -> head(stream) end, "&defaultDeadline=-1")
    assert {:error, error} = EventStore.read(store, "s", timeout: 50)
    assert %Error{reason: :deadline_exceeded, retry?: true} = error
    assert {:error, error} = EventStore.append(store, "s", Event.new("T", 1), timeout: 50)
    assert %Error{reason: :deadline_exceeded, details: %{may_have_been_written: true}} = error
    assert error.message =~ "within 50 ms"
  end

  for {option, value} <- [
        timeout: 0,
        timeout: 2 ** 31,
        timeout: "5",
        max_message_size: 1,
        max_message_size: nil
      ] do
    test "#{option}: #{inspect(value)} is refused by name" do
      assert_raise ArgumentError, ~r/option #{inspect(unquote(option))} takes an integer from 1/, fn ->
        EventStore.read(:nobody, "s", [{unquote(option), unquote(value)}])
      end
    end
  end

  for {keys, name} <- [
        {"defaultDeadline=360000000000000", "defaultDeadline"},
        {"defaultDeadline=9223372036854775807", "defaultDeadline"},
        {"keepAliveInterval=0", "keepAliveInterval"}
      ] do
    test "#{keys} is refused by name" do
      Process.flag(:trap_exit, true)

      assert {:error, %Error{reason: :invalid_connection_string, message: message}} =
               EventStore.start_link(connection_string: "esdb://127.0.0.1:1?tls=false&#{unquote(keys)}")

      assert message =~ unquote(name)
      assert message =~ "2147483647, or -1 for never"
    end
  end

  test "the largest deadline works" do
    store = store(fn _, s -> head(s) <> data(s, event(0)) <> trailers(s) end, "&defaultDeadline=2147483647")
    assert {:ok, [_]} = EventStore.read(store, "s")
    assert {:error, %Error{reason: :protocol}} = EventStore.append(store, "s", [])
  end
end
