defmodule Penstock.LinearSubscription.AllTest do
  use ExUnit.Case, async: true

  import Penstock.Store

  alias Penstock.{Event, EventStore, Filter, LinearSubscription, Position, StageWire}

  setup do
    start()
  end

  @mine Filter.by_stream(prefix: ["a", "b"])

  defp append(store, stream, types) do
    {:ok, %{position: position}} =
      EventStore.append(store, stream, for(type <- types, do: Event.new(type, 1)))

    position
  end

  defp kinds(events), do: Enum.map(events, &{&1.metadata.stream_name, &1.type})

  defp all(store, options), do: subscribe(store, :all, [filter: @mine] ++ options)

  test "events of all streams come in the order of the log, those there are and those that are appended", %{
    store: store
  } do
    for {stream, type} <- [{"a", "T1"}, {"c", "T2"}, {"b", "T3"}, {"a", "T4"}],
        do: append(store, stream, [type])

    producer = all(store, [])
    tag = consume(producer, 10)
    events = take(producer, tag, 3)
    assert kinds(events) == [{"a", "T1"}, {"b", "T3"}, {"a", "T4"}]
    info = await_info(producer, &(&1.state == :subscribed))
    assert %{stream_name: :all, revision: nil, position: %Position{}} = info
    assert Position.compare(info.position, Event.position(List.last(events))) in [:eq, :gt]
    append(store, "c", ["T5"])
    append(store, "b", ["T6"])
    assert kinds(take(producer, tag, 1)) == [{"b", "T6"}]
  end

  test "without a filter the system's own events come too", %{store: store} do
    append(store, "a", ["T1"])
    producer = subscribe(store, :all)
    tag = consume(producer, 1)
    assert %{type: "$" <> _} = producer |> take(tag, 1) |> hd()
  end

  test "it goes on after a position, or an event, or from the end", %{store: store} do
    append(store, "a", ["T1", "T2", "T3"])
    {:ok, [_, second, _]} = EventStore.read(store, :all, filter: @mine)

    for position <- [second, Event.position(second)] do
      producer = all(store, restore_stream_position!: fn -> position end)
      assert kinds(take(producer, consume(producer, 10), 1)) == [{"a", "T3"}]
    end

    producer = all(store, restore_stream_position!: fn -> :end end)
    tag = consume(producer, 10)
    await_info(producer, &(&1.state == :subscribed))
    append(store, "a", ["T4"])
    assert kinds(take(producer, tag, 1)) == [{"a", "T4"}]
  end

  test "a filter that lets nothing through says how far it has looked, and there a restart goes on", %{
    store: store
  } do
    test = self()
    append(store, "a", ["T1"])
    for _ <- 1..100, do: append(store, "c", ["T2"])
    told = fn position -> send(test, {:checkpoint, position}) end
    producer = all(store, on_checkpoint: told)
    tag = consume(producer, 10)
    assert [event] = take(producer, tag, 1)
    assert_receive {:checkpoint, first}, 10_000
    assert Position.compare(first, Event.position(event)) in [:eq, :gt]
    # the subscription looks on, and says so in order
    for _ <- 1..100, do: append(store, "c", ["T3"])
    last = latest(first)
    info = await_info(producer, &(Position.compare(&1.position, last) != :lt))
    assert Position.compare(info.position, Event.position(event)) == :gt
    append(store, "a", ["T4"])
    assert kinds(take(producer, tag, 1)) == [{"a", "T4"}]
    again = all(store, restore_stream_position!: fn -> last end)
    assert kinds(take(again, consume(again, 10), 1)) == [{"a", "T4"}]
  end

  # Checkpoints never go back, and there are more of them as more is looked at.
  defp latest(before) do
    assert_receive {:checkpoint, next}, 10_000
    assert Position.compare(next, before) == :gt
    next
  end

  test "a checkpoint is told after the events before it were given, whoever asks for them", %{store: store} do
    test = self()
    append(store, "a", ["T1", "T2"])
    for _ <- 1..100, do: append(store, "c", ["T3"])
    producer = all(store, on_checkpoint: &send(test, {:checkpoint, &1}))
    tag = consume(producer, 1)
    assert [first] = take(producer, tag, 1)
    refute_received {:checkpoint, _}
    StageWire.ask(producer, tag, 1)
    assert [second] = take(producer, tag, 1)
    assert_receive {:checkpoint, position}, 10_000
    assert Position.compare(position, Event.position(first)) == :gt
    assert Position.compare(position, Event.position(second)) in [:eq, :gt]
  end

  test "a server that comes back without what it held is told from one that has it", %{
    server: server,
    store: store,
    uri: uri
  } do
    append(store, "a", ["T1"])
    producer = all(store, [])
    tag = consume(producer, 10)
    assert kinds(take(producer, tag, 1)) == [{"a", "T1"}]
    port = URI.parse(uri).port
    :ok = EventStore.Server.stop(server)
    await_info(producer, &(&1.state in [:backing_off, :connecting]))
    start_supervised!({EventStore.Server, port: port}, id: make_ref())
    # its positions mean nothing, and that is said
    info = await_info(producer, & &1.position_beyond_end)
    assert %{position: %Position{}} = info.position_beyond_end
  end

  test "what belongs to the other kind of subscription is refused by name", %{store: store} do
    options = [connection: store, restore_stream_position!: fn -> :start end]

    for {more, what} <- [
          {[stream_name: "s", filter: @mine], ~r/option :filter takes nil of named streams/},
          {[stream_name: "s", on_checkpoint: &send(self(), &1)],
           ~r/option :on_checkpoint takes nil of named/},
          {[stream_name: :all, filter: "a"], ~r/option :filter takes/},
          {[stream_name: :all, on_checkpoint: fn -> :ok end], ~r/option :on_checkpoint takes/},
          {[stream_name: :some], ~r/option :stream_name takes/},
          {[stream_name: "$all"], ~r/which reads know as :all/}
        ] do
      assert_raise ArgumentError, what, fn -> LinearSubscription.start_link(options ++ more) end
    end

    Process.flag(:trap_exit, true)

    for position <- [5, %{commit: 1, prepare: 1}, Event.new("T", 1), nil] do
      options = [connection: store, stream_name: :all, restore_stream_position!: fn -> position end]
      assert {:error, {%ArgumentError{message: message}, _}} = LinearSubscription.start_link(options)
      assert message =~ "a Penstock.Position or a Penstock.Event that was read"
    end
  end
end
