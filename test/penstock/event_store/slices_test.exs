defmodule Penstock.EventStore.SlicesTest do
  # Alone: the account of native calls is the library's, and others' calls are in it.
  use ExUnit.Case, async: false

  alias Penstock.{Event, EventStore, Native}

  # What an ordinary call takes at most: 250 us, at 1.2 us an event.
  @most 208

  setup do
    server = start_supervised!({EventStore.Server, port: 0, data_dir: :memory})
    uri = EventStore.Server.connection_string(server)
    %{store: start_supervised!({EventStore, connection_string: uri})}
  end

  defp append(store, events), do: {:ok, _} = EventStore.append(store, "s", events)

  defp calls(name), do: get_in(Native.native_times(), [name, :count]) || 0

  test "a read of 100,000 events is whole, in order, and made of calls of a few events each", %{store: store} do
    body = Event.new("T", 1)
    for _ <- 1..50, do: append(store, for(_ <- 1..2000, do: %{body | id: Event.new("T", 1).id}))
    :ok = Native.native_times_reset()
    {:ok, events} = EventStore.read(store, "s", max_count: 200_000)
    assert Enum.map(events, & &1.metadata.stream_revision) == Enum.to_list(0..99_999)
    assert calls(:event_store_answer) >= div(100_000, @most)
    assert calls(:event_store_answer_dirty) == 0
  end

  test "an event that takes long to decode is left to a dirty scheduler, and what is around it is not", %{
    store: store
  } do
    large = Enum.to_list(1..20_000)
    append(store, for(body <- [1, 2, large, 3, large], do: Event.new("T", body)))
    :ok = Native.native_times_reset()
    assert {:ok, events} = EventStore.read(store, "s")
    assert Enum.map(events, & &1.body) == [1, 2, large, 3, large]
    assert calls(:event_store_answer_dirty) in 1..2
    assert calls(:event_store_answer) >= 2
  end

  test "an append that takes long to copy is left to a dirty scheduler", %{store: store} do
    :ok = Native.native_times_reset()
    append(store, for(number <- 1..10, do: Event.new("T", number)))
    assert calls(:event_store_append_dirty) == 0
    append(store, for(number <- 1..2000, do: Event.new("T", number)))
    assert calls(:event_store_append_dirty) == 1
    assert {:ok, events} = EventStore.read(store, "s", max_count: 5000)
    assert Enum.map(events, & &1.body) == Enum.to_list(1..10) ++ Enum.to_list(1..2000)
  end

  test "a caller that dies with an answer half taken harms nobody", %{store: store} do
    append(store, for(number <- 1..2000, do: Event.new("T", number)))
    {:here, native} = EventStore.Connection.find(store)
    target = {:stream, "s", :start}
    reading = {:forwards, 5000, true, true, 1_000_000, nil, nil}
    test = self()

    {caller, monitor} =
      spawn_monitor(fn ->
        reference = make_ref()
        :ok = Native.event_store_read(native, reference, target, reading)
        assert_receive {^reference, answer}, 60_000
        {:more, events} = Native.event_store_answer(answer, [])
        send(test, {:taken, length(events)})
      end)

    assert_receive {:taken, count} when count in 1..@most, 60_000
    assert_receive {:DOWN, ^monitor, :process, ^caller, :normal}
    # nobody waits for the answer of one that dies before it comes
    {caller, monitor} = spawn_monitor(fn -> Native.event_store_read(native, make_ref(), target, reading) end)

    assert_receive {:DOWN, ^monitor, :process, ^caller, :normal}
    assert {:ok, events} = EventStore.read(store, "s", max_count: 5000)
    assert Enum.map(events, & &1.body) == Enum.to_list(1..2000)
  end

  test "a read tells one error and no events when one of them cannot be read", %{store: store} do
    append(store, for(number <- 1..1000, do: Event.new("T", number)))
    limit = [max_count: 5000, max_message_size: 1024]
    assert {:ok, _} = EventStore.read(store, "s", limit)
    append(store, [Event.new("T", String.duplicate("x", 5000))])
    assert {:error, %Penstock.Error{reason: :message_too_large}} = EventStore.read(store, "s", limit)
    refute_received _
  end
end
