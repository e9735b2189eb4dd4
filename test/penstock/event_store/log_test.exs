defmodule Penstock.EventStore.LogTest do
  use ExUnit.Case, async: true

  import Penstock.Store

  alias Penstock.{Error, Event, EventStore, Filter, Position}

  setup do
    start()
  end

  defp append(store, stream, types) do
    {:ok, %{position: %Position{}} = appended} =
      EventStore.append(store, stream, for(type <- types, do: Event.new(type, 1)))

    appended
  end

  defp read(store, options) do
    {:ok, events} = EventStore.read(store, :all, options)
    Enum.map(events, &{&1.metadata.stream_name, &1.type})
  end

  @mine Filter.by_stream(prefix: ["a", "b"])

  test "events of all streams are read in the order in which they were appended, both ways", %{store: store} do
    for {stream, type} <- [{"a", "T1"}, {"b", "T2"}, {"a", "T3"}], do: append(store, stream, [type])
    in_order = [{"a", "T1"}, {"b", "T2"}, {"a", "T3"}]
    assert read(store, filter: @mine) == in_order

    assert read(store, filter: @mine, from: :end, direction: :backwards) == Enum.reverse(in_order)
    assert read(store, filter: @mine, max_count: 2) == Enum.take(in_order, 2)
    assert read(store, from: :end) == []
    assert {_, "$" <> _} = store |> read(max_count: 1) |> hd()
  end

  test "a position is where to go on: forwards with the event at it, backwards with the one before", %{
    store: store
  } do
    append(store, "a", ["T1", "T2", "T3"])
    {:ok, events} = EventStore.read(store, :all, filter: @mine)
    positions = Enum.map(events, &Event.position/1)
    assert positions == Enum.sort(positions, Position)
    second = Enum.at(positions, 1)
    assert read(store, filter: @mine, from: second) == [{"a", "T2"}, {"a", "T3"}]
    assert read(store, filter: @mine, from: second, direction: :backwards) == [{"a", "T1"}]
    nowhere = Position.new(second.commit + 1, second.commit + 1)
    assert {:error, %Error{reason: :server}} = EventStore.read(store, :all, from: nowhere)
  end

  test "filters are by type or by stream, by prefix or by expression, and can leave the system's events out",
       %{
         store: store
       } do
    append(store, "a-1", ["order-placed", "Order-paid"])
    append(store, "b-1", ["order-sent"])
    by = &read(store, filter: &1)
    assert by.(Filter.by_type(prefix: "order-")) == [{"a-1", "order-placed"}, {"b-1", "order-sent"}]
    assert by.(Filter.by_type(regex: ~r/^order-paid$/i)) == [{"a-1", "Order-paid"}]
    assert by.(Filter.by_stream(regex: "^b")) == [{"b-1", "order-sent"}]
    assert length(by.(Filter.exclude_system_events())) == 3
    assert {:error, %Error{}} = EventStore.read(store, :all, filter: Filter.by_type(regex: "("))
  end

  test "what belongs to the other kind of read is refused by name", %{store: store} do
    for {target, options, what} <- [
          {:all, [from: 3], ~r/option :from takes :start, :end or a Penstock.Position of :all, got: 3/},
          {"s", [from: Position.new(1, 1)], ~r/option :from takes :start, :end or an integer/},
          {"s", [filter: @mine], ~r/option :filter takes nil of a stream/},
          {:all, [filter: "a"], ~r/option :filter takes a Penstock.Filter/},
          {"$all", [], ~r/which reads know as :all/}
        ] do
      for function <- [:read, :stream] do
        assert_raise ArgumentError, what, fn -> apply(EventStore, function, [store, target, options]) end
      end
    end
  end
end
