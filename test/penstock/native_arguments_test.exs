defmodule Penstock.NativeArgumentsTest do
  # What Elixir's own checks let through: the core takes nothing unknown for something known.
  use ExUnit.Case, async: true

  alias Penstock.{EventStore, Native, Stage, StageWire, Store}

  setup do
    store = start_supervised!({EventStore, connection_string: "esdb://127.0.0.1:1?tls=false"})
    {:ok, handle: GenServer.call(store, :handle)}
  end

  defp settings,
    do:
      {{true, 1024, :wait},
       {{10, 10, 10}, {true, false}, {:demand, nil, nil, nil}, :forward, {self(), make_ref()}}}

  defp open(handle, position, place \\ nil, value \\ nil) do
    settings = if place, do: put_in_tuple(settings(), place, value), else: settings()
    {reading, wanted} = settings
    Native.linear_open(handle, {:stream, "s", position}, reading, wanted)
  end

  defp put_in_tuple(tuple, [at], value), do: put_elem(tuple, at, value)

  defp put_in_tuple(tuple, [at | rest], value),
    do: put_elem(tuple, at, put_in_tuple(elem(tuple, at), rest, value))

  for position <- [nil, :ending, :undefined, true, -1, 0x8000_0000_0000_0000, 2 ** 64, 1.0, "5", {:end}] do
    test "a position #{inspect(position)} is refused by name", %{handle: handle} do
      error = assert_raise ArgumentError, fn -> open(handle, unquote(Macro.escape(position))) end
      assert error.message =~ "restore_stream_position! is "
      assert error.message =~ "it takes :start, :end, an integer from 0 to 9223372036854775807"
    end
  end

  for {target, what} <- [
        {{:all, 5, nil}, "restore_stream_position! is "},
        {{:all, {-1, 0}, nil}, "restore_stream_position! is "},
        {{:all, :start, "a"}, "filter is "},
        {{:group, "s", :start}, "the kind of a subscription is "},
        {{:stream, :s, :start}, "stream_name is "}
      ] do
    test "a subscription to #{inspect(target)} is refused by name", %{handle: handle} do
      {reading, wanted} = settings()
      target = unquote(Macro.escape(target))
      error = assert_raise ArgumentError, fn -> Native.linear_open(handle, target, reading, wanted) end
      assert error.message =~ unquote(what)
    end
  end

  for {name, place, value, takes} <- [
        {"buffer_size", [1, 0, 0], 2 ** 64, "an integer from 1"},
        {"buffer_size", [1, 0, 0], 0, "an integer from 1"},
        {"buffer_bytes", [1, 0, 1], :many, "an integer from 1"},
        {"max_count", [1, 0, 2], 1001, "an integer from 1 to 1000"},
        {"max_message_size", [0, 1], 2 ** 32, "an integer from 1 to 4294967295"},
        {"max_demand", [1, 2, 1], 0, "an integer from 1"},
        {"rate", [1, 2, 3], 5, "it takes nil"},
        {"dispatcher", [1, 2], :everyone,
         "{:demand, max_demand, seed, rate}, :broadcast or {:partition, count, by}"},
        {"dispatcher", [1, 2, 0], :partitions, "{:demand, max_demand, seed, rate}, :broadcast"},
        {"partitions", [1, 2], {:partition, 0, :id}, "an integer from 1 to 10000000"},
        {"hash", [1, 2], {:partition, 1, :name}, ":id, :stream_name, :type"},
        {"demand", [1, 3], :backward, ":forward, :accumulate"},
        {"on_position_beyond_end", [0, 2], :ignore, ":wait, :stop"}
      ] do
    test "#{name} #{inspect(value)} is refused by name", %{handle: handle} do
      error =
        assert_raise ArgumentError, fn ->
          open(handle, :start, unquote(place), unquote(Macro.escape(value)))
        end

      assert error.message =~ "#{unquote(name)} is "
      assert error.message =~ unquote(takes)
    end
  end

  @tag :capture_log
  test "a mode of demand that is none is refused by name and changes nothing" do
    %{store: store} = Store.start()
    :ok = Store.fill(store, "s", 3)
    producer = Store.subscribe(store, "s")
    Store.await_info(producer, &(&1.ready_events == 3))
    %{native: linear} = :sys.get_state(producer)

    refused = fn ->
      error = assert_raise ArgumentError, fn -> Native.producer_set_demand(linear, :nothing) end
      assert error.message == "demand is :nothing; it takes :forward, :accumulate"
    end

    # one that forwards still does
    refused.()
    tag = Store.consume(producer, 1)
    assert producer |> Store.take(tag, 1) |> Store.revisions() == [0]
    # one that accumulates still does: its demand waits, and nothing is sent
    :ok = Stage.demand(producer, :accumulate)
    StageWire.ask(producer, tag, 2)
    StageWire.settle(producer)
    refused.()
    assert StageWire.batches(producer, tag) == []
    assert %{demand: 2, ready_events: 2} = Native.producer_info(linear)
    :ok = Stage.demand(producer, :forward)
    assert producer |> Store.take(tag, 2) |> Store.revisions() == [1, 2]
  end

  for expect <- [:anything, nil, -1, 0x8000_0000_0000_0000, 2 ** 64, "any"] do
    test "an expectation #{inspect(expect)} is refused by name", %{handle: handle} do
      error =
        assert_raise ArgumentError, fn ->
          Native.event_store_append(handle, make_ref(), "s", {unquote(expect), nil}, [])
        end

      assert error.message =~ "expect is "
      assert error.message =~ "it takes :any, :no_stream, :stream_exists, an integer from 0"
    end
  end

  @id "00000000-0000-4000-8000-000000000001"
  for {name, event} <- [
        {"the id of an event", {"nonsense", "T", "application/json", "{}", ""}},
        {"the id of an event", {nil, "T", "application/json", "{}", ""}},
        {"the type of an event", {@id, <<255>>, "application/json", "{}", ""}},
        {"the content type of an event", {@id, "T", :json, "{}", ""}},
        {"the data of an event", {@id, "T", "application/json", 1, ""}},
        {"the custom metadata of an event", {@id, "T", "application/json", "{}", nil}},
        {"events", {@id, "T"}}
      ] do
    test "#{name} of #{inspect(event)} is refused by name", %{handle: handle} do
      events = [unquote(Macro.escape(event))]

      error =
        assert_raise ArgumentError, fn ->
          Native.event_store_append(handle, make_ref(), "s", {:any, nil}, events)
        end

      assert error.message =~ "#{unquote(name)} is "
    end
  end

  @reading {:forwards, 1, true, true, 1024, nil, nil}
  for {name, at, value, takes} <- [
        {"direction", 0, :forward, ":forwards, :backwards"},
        {"direction", 0, nil, ":forwards, :backwards"},
        {"max_count", 1, 2 ** 64, "an integer from 0"},
        {"max_message_size", 4, 0, "an integer from 1"},
        {"page_bytes", 5, 0, "an integer from 1"},
        {"timeout", 6, 0, "an integer from 1 to 2147483647"},
        {"timeout", 6, 2 ** 31, ":infinity or nil"}
      ] do
    test "a read with #{name} #{inspect(value)} is refused by name", %{handle: handle} do
      reading = put_elem(@reading, unquote(at), unquote(value))
      target = {:stream, "s", :start}

      error =
        assert_raise ArgumentError, fn -> Native.event_store_read(handle, make_ref(), target, reading) end

      assert error.message =~ "#{unquote(name)} is "
      assert error.message =~ unquote(takes)
    end
  end

  @prefix {:prefix, ["a"]}
  for {name, target, takes} <- [
        {"from", {:stream, "s", :beginning}, ":start, :end, an integer from 0 to 9223372036854775807"},
        {"from", {:stream, "s", 0x8000_0000_0000_0000}, ":start, :end"},
        {"from", {:all, 3, nil}, ":start, :end"},
        {"from", {:all, {0x8000_0000_0000_0000, 0}, nil}, ":start, :end"},
        {"stream", {:stream, :s, :start}, "a binary"},
        {"the kind of a read", {:group, "s", :start}, ":stream, :all"},
        {"filter", {:all, :start, :none}, "a tuple of four"},
        {"filter", {:all, :start, {:stream, {:prefix, []}, 1, 1}}, "the list of prefixes is empty"},
        {"the subject of a filter", {:all, :start, {:body, @prefix, 1, 1}}, ":stream, :type"},
        {"the pattern of a filter", {:all, :start, {:type, {:suffix, "a"}, 1, 1}}, "{:prefix, a list"},
        {"the pattern of a filter", {:all, :start, {:type, {:prefix, [1]}, 1, 1}}, "{:prefix, a list"},
        {"the window of a filter", {:all, :start, {:type, @prefix, 0, 1}}, "an integer from 1 to 4294967295"},
        {"the checkpoint interval of a filter", {:all, :start, {:type, @prefix, 1, 2 ** 32}}, "an integer"}
      ] do
    test "a read of #{inspect(target)} is refused by name", %{handle: handle} do
      target = unquote(Macro.escape(target))

      error =
        assert_raise ArgumentError, fn -> Native.event_store_read(handle, make_ref(), target, @reading) end

      assert error.message =~ "#{unquote(name)} is "
      assert error.message =~ unquote(takes)
    end
  end

  for {deletion, writing, what} <- [
        {:hard, {:any, nil}, "deletion is :hard; it takes :soft, :tombstone"},
        {:soft, {:some, nil}, "expect is :some"},
        {:soft, {:any, 0}, "timeout is 0"}
      ] do
    test "a deletion with #{inspect({deletion, writing})} is refused by name", %{handle: handle} do
      arguments = [handle, make_ref(), "s", unquote(deletion), unquote(Macro.escape(writing))]
      error = assert_raise ArgumentError, fn -> apply(Native, :event_store_delete, arguments) end
      assert error.message =~ unquote(what)
    end
  end
end
