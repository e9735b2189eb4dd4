defmodule Penstock.NativeTimesTest do
  # Alone: the account is the library's, and others' calls are in it.
  use ExUnit.Case, async: false

  alias Penstock.{Event, EventStore, Json, Native, Store}

  # NATIVE_TIMES=1 prints what the calls of the load took of a core, longest first.
  @print System.get_env("NATIVE_TIMES") != nil

  setup do
    :ok = Native.native_times_reset()
    on_exit(fn -> Native.native_times_clock(:wall) end)
  end

  test "each call is counted under its name, with the longest and how long all took" do
    for _ <- 1..10, do: {:ok, %{}} = Native.json_decode("{}")
    {:ok, [1]} = Native.json_decode_dirty("[1]")
    assert %{json_decode: ordinary, json_decode_dirty: dirty} = Native.native_times()
    assert %{count: 10, dirty: false, longest_ns: longest, histogram: histogram} = ordinary
    assert longest > 0
    assert Enum.sum(histogram) == 10
    assert %{count: 1, dirty: true} = dirty
    :ok = Native.native_times_reset()
    assert %{json_decode: %{count: 0, longest_ns: 0}} = Native.native_times()
  end

  test "calls that only count are in the account when they have come to something" do
    output = Native.stage_new(10, :first, {:demand, nil, nil, nil})
    for _ <- 1..1000, do: 0 = Native.stage_demand(output)
    assert %{stage_demand: %{count: count}} = Native.native_times()
    assert count in 900..1000
  end

  test "a clock that there is not is refused by name" do
    error = assert_raise ArgumentError, fn -> Native.native_times_clock(:sun) end
    assert error.message == "clock is :sun; it takes :wall, :thread"
  end

  describe "under load" do
    # What the system does to a call is not the call's: so by the thread's own time, where every call is looked at.
    setup do
      :ok = Native.native_times_clock(:thread)
      %{store: store} = Store.start()
      {:ok, store: store, connection: GenServer.call(store, :handle)}
    end

    test "every native call is in the account under its name", %{store: store, connection: connection} do
      stages()
      json()
      reading(store, connection, 2_000, 100)
      {:ok, _events} = EventStore.read(store, "read-100", max_count: 10)
      large = Event.new("Large", %{"text" => String.duplicate("x", 300_000)})
      {:ok, _} = EventStore.append(store, "large", [large])
      {:ok, [_large]} = EventStore.read(store, "large")
      {:ok, _} = EventStore.delete(store, "large")
      Native.error_reasons()
      {:error, _refused} = Native.event_store_open_dirty("nonsense")
      {:ok, _other} = Native.event_store_as(connection, {"user", "password"})
      {:ok, server} = EventStore.Server.start_link(port: 0)
      :ok = EventStore.Server.reset(server)
      [_itself] = EventStore.Server.nodes(server)
      :ok = EventStore.Server.heal(server)
      :ok = EventStore.Server.stop(server)

      _ = Native.native_times()
      times = Native.native_times()
      if @print, do: print(times)

      for {name, _arity} <- Native.__info__(:functions), name != :load do
        assert %{count: count, dirty: dirty} = times[name], "#{name} is in no account"
        assert count > 0
        assert dirty == String.ends_with?("#{name}", "_dirty")
      end
    end

    test "an ask gives out no more events in one call than its budget holds", %{
      store: store,
      connection: connection
    } do
      for size <- [10, 1_000, 50_000], json <- [true, false] do
        slices = reading(store, connection, div(400_000, size) |> max(40) |> min(10_000), size, json)
        # 250 us at 1.2 us an event, and 3 ns a byte of JSON, which an event has at least as many as its body
        most = if json, do: div(250_000, 1_200 + 3 * size), else: div(250_000, 1_200)
        assert Enum.max(slices.ordinary) <= max(most, 1)
        assert Enum.sum(slices.ordinary) + Enum.sum(slices.dirty) == slices.count
      end
    end

    test "events leave the heap, and come back to it, a chunk at a time" do
      output = Native.stage_new(:infinity, :last, {:demand, nil, nil, nil})
      events = for n <- 1..10_000, do: {n, "some text"}
      assert {_rest, stored, 0, 0, 0} = Native.stage_spill(output, events, 10_000)
      assert stored in 1..256
      assert length(Native.stage_take(output, 10_000)) == stored
    end

    test "a filter looks at so many events in one call, and at large ones at fewer" do
      assert {wanted, 0, rest} = Native.stage_filter([{:is, :a, 1}], List.duplicate(%{a: 1}, 10_000))
      assert {length(wanted), length(rest)} == {512, 9_488}
    end

    test "no call lasts the longer the more subscribers a stage has" do
      for kind <- [:demand, :shuffled, :broadcast, :lagging, :partition, :partitions],
          do: assert({kind, over_a_millisecond(fn -> crowd(kind, 20_000) end)} == {kind, []})
    end

    test "no call lasts the longer the more messages wait between a stage's events" do
      assert over_a_millisecond(fn -> marks(30_000) end) == []
    end

    test "no call lasts the longer the more consumers a native producer has", %{connection: connection} do
      for {dispatcher, how} <- [
            {{:demand, nil, nil, nil}, nil},
            {{:demand, nil, 7, nil}, nil},
            {:broadcast, :block},
            {:broadcast, {:drop_oldest, 5}},
            {{:partition, 2, :id}, {:partition, 1}}
          ] do
        over = over_a_millisecond(fn -> consumers(connection, dispatcher, how, 10_000) end)
        assert {dispatcher, over} == {dispatcher, []}
      end
    end

    test "a broadcast to many consumers, whatever their patterns, is no ordinary call's", %{
      store: store,
      connection: connection
    } do
      {:ok, _} = EventStore.append(store, "wide", for(_ <- 1..100, do: Event.new("Read", {:raw, "{}"})))
      pattern = {:match, for(n <- 1..60, do: {:is, n, n})}

      for filter <- [nil, pattern] do
        assert over_a_millisecond(fn -> broadcast(connection, 400, filter) end) == []
        assert %{producer_serve_dirty: %{count: count}} = Native.native_times()
        assert count > 0
      end
    end

    test "a connection string that is none for its length is refused before it is read" do
      string = "esdb://" <> String.duplicate("h,", 5_000_000) <> "h?tls=false"

      assert over_a_millisecond(fn ->
               assert {:error, {:invalid_connection_string, message, false, %{}}} =
                        Native.event_store_open_dirty(string)

               assert message == "the connection string has 10000018 bytes; it takes 16384 at most"
             end) == []
    end

    test "weighing looks at so many parts, however many there are" do
      assert Native.stage_extent(List.duplicate({1, 2, 3}, 20_000), 20_000) == 2048
      assert Native.stage_extent([List.duplicate(1, 100_000)], 1) == 0
      assert Native.stage_extent([Tuple.duplicate(1, 100_000)], 1) == 0
    end
  end

  # The ordinary calls that took longer each time: what the machine does to one, it does not do to all of them.
  defp over_a_millisecond(load) do
    Enum.reduce_while(1..10, nil, fn _, before ->
      :ok = Native.native_times_reset()
      load.()
      times = Native.native_times()
      long = for {name, %{dirty: false, longest_ns: ns}} <- times, ns > 1_000_000, do: {name, ns}
      if @print, do: print(times)
      over = Enum.filter(long, fn {name, _} -> before == nil or List.keymember?(before, name, 0) end)
      if over == [], do: {:halt, []}, else: {:cont, over}
    end)
  end

  # In a process of its own, with which all that it has is freed: as `free` calls it.
  defp apart(free, work) do
    {_pid, monitor} = spawn_monitor(work)
    assert_receive {:DOWN, ^monitor, :process, _, :normal}, 60_000
    await_freed(free)
  end

  defp await_freed(free) do
    case Native.native_times() do
      %{^free => %{count: count}} when count > 0 -> :ok
      _ -> await_freed(free)
    end
  end

  # As many subscribers who ask, get, and go.
  defp crowd(kind, count) do
    {dispatcher, how} = kind(kind)

    apart(:stage_free, fn ->
      output = Native.stage_new(:infinity, :last, dispatcher)
      for n <- 1..count, do: :ok = Native.stage_subscribe(output, n, how.(n))
      for n <- 1..count, do: Native.stage_ask(output, n, 10)
      emit(kind, output, 2 * count)
      Native.stage_mark(output)
      for n <- 1..div(count, 2), do: Native.stage_cancel(output, n)
    end)
  end

  defp kind(:demand), do: {{:demand, nil, nil, nil}, fn _ -> nil end}
  defp kind(:shuffled), do: {{:demand, nil, 7, nil}, fn _ -> nil end}
  defp kind(:broadcast), do: {:broadcast, fn _ -> :block end}
  defp kind(:lagging), do: {:broadcast, fn _ -> {:drop_oldest, 5} end}
  defp kind(:partition), do: {{:partition, 2, nil}, fn _ -> {:partition, 1} end}
  defp kind(:partitions), do: {{:partition, 10_000_000, nil}, &{:partition, &1 * 300}}

  defp emit(:broadcast, output, _count), do: :everyone = Native.stage_emit(output, 10)

  defp emit(:lagging, output, count) do
    :everyone = Native.stage_emit(output, 10)
    for n <- 1..div(count, 2), do: Native.stage_share(output, n, 10, 10)
  end

  defp emit(:partition, output, count) do
    :split = Native.stage_emit(output, count)
    [[], deals] = Native.stage_split(output, 0, [0, count], 0)
    all(deals, count, &Native.stage_deal_to(output, 0, 1, &1))
  end

  defp emit(:partitions, output, count) do
    :split = Native.stage_emit(output, count)
    for n <- 1..div(count, 2), do: [] = Native.stage_deal_to(output, 0, n * 300 + 1, 1)
    true = Native.stage_mark_queues(output)
  end

  defp emit(_by_demand, output, count),
    do: all(Native.stage_emit(output, count), count, &Native.stage_emit_on(output, &1))

  # So many events in deals of which a call has so many at most.
  defp all(id, _left, _more) when is_integer(id), do: :ok

  defp all(deals, count, more) do
    assert length(deals) <= 129
    left = count - Enum.sum(for {_to, n} <- deals, do: n)
    if List.last(deals) == :more, do: all(more.(left), left, more), else: assert(left == 0)
  end

  # As many events in a queue with a message behind each, and in a buffer that all are evicted from.
  defp marks(count) do
    apart(:stage_free, fn ->
      output = Native.stage_new(:infinity, :last, {:partition, 2, nil})
      :ok = Native.stage_subscribe(output, 1, {:partition, 0})
      :ok = Native.stage_subscribe(output, 2, {:partition, 1})
      Native.stage_ask(output, 2, count)
      :split = Native.stage_emit(output, count)

      for _ <- 1..count do
        [] = Native.stage_deal_to(output, 0, 0, 1)
        true = Native.stage_mark_queues(output)
      end

      {:served, {0, served}, _asked} = Native.stage_ask(output, 1, count)
      assert served(served, output) == 2 * count

      buffer = Native.stage_new(1000, :last, {:demand, nil, nil, nil})

      for _ <- 1..1000 do
        {:heap, _, _, 0, _} = Native.stage_store(buffer, [1], 1, false)
        for _ <- 1..div(count, 1000), do: true = Native.stage_mark(buffer)
      end

      assert {:heap, 1000, 1000, 0, ^count} = Native.stage_store(buffer, Enum.to_list(1..1000), 1000, false)
    end)
  end

  defp served(served, output) do
    assert length(served) <= 129

    if List.last(served) == :more,
      do: length(served) - 1 + served(Native.stage_serve(output, 0), output),
      else: length(served)
  end

  defp gone_on({next, _hosted, _marks}, producer), do: gone_on(next, producer)
  defp gone_on(:large, producer), do: gone_on(Native.producer_serve_dirty(producer), producer)
  defp gone_on(:more, producer), do: gone_on(Native.producer_serve(producer), producer)
  defp gone_on(:ok, _producer), do: :ok

  # As many consumers of a stream without events, who ask and go.
  defp consumers(connection, dispatcher, how, count) do
    apart(:producer_free, fn ->
      wanted = {{100, 1_000_000, 100}, {false, false}, dispatcher, :forward, {self(), make_ref()}}

      {:ok, producer} =
        Native.linear_open(connection, {:stream, "none", :start}, {true, 17_825_792, :wait}, wanted)

      for n <- 1..count, do: :ok = Native.producer_subscribe(producer, n, {self(), n}, how, nil)
      for n <- 1..count, do: Native.producer_ask(producer, n, 10)
      Native.producer_holders(producer, 1, 1)
      for n <- 1..div(count, 2), do: Native.producer_cancel(producer, n)
    end)
  end

  # All events of a stream to as many consumers.
  defp broadcast(connection, consumers, filter) do
    wanted = {{100_000, 100_000_000, 1000}, {true, false}, :broadcast, :forward, {self(), make_ref()}}

    {:ok, producer} =
      Native.linear_open(connection, {:stream, "wide", :start}, {true, 17_825_792, :wait}, wanted)

    from = {spawn_link(fn -> receive do: (:done -> :ok) end), make_ref()}
    for n <- 1..consumers, do: :ok = Native.producer_subscribe(producer, n, from, :block, filter)
    await_ready(producer, 100)
    for n <- 1..consumers, do: gone_on(Native.producer_ask(producer, n, 100), producer)
    if filter == nil, do: assert(Native.producer_info(producer).ready_events == 0)
    :ok = Native.producer_close(producer)
    send(elem(from, 0), :done)
  end

  # Each call of a stage's output once at least.
  defp stages do
    by_demand = Native.stage_new(100_000, :last, {:demand, nil, nil, nil})
    :ok = Native.stage_subscribe(by_demand, 1, nil)
    {:ahead, to, n} = ask_ahead(by_demand)
    :ok = Native.stage_take_back(by_demand, to, n)
    Native.stage_ask(by_demand, 1, 100)
    Native.stage_credit(by_demand, 1, 100)
    Native.stage_emit(by_demand, 10)
    Native.stage_emit_on(by_demand, 10)
    Native.stage_refill(by_demand)
    Native.stage_counting(by_demand)
    Native.stage_claim(by_demand)
    Native.stage_demand(by_demand)
    Native.stage_demand_of(by_demand, 1)
    events = for n <- 1..20_000, do: %{id: n, name: "some text", tags: [:a, :b]}
    {:heap, 0, 0, 0, 0} = Native.stage_store(by_demand, events, 10, false)
    Native.stage_keep(by_demand, 10)
    spill(by_demand, events)
    Native.stage_mark(by_demand)
    Native.stage_buffered(by_demand)
    Native.stage_off_heap(by_demand)
    Native.stage_next(by_demand)
    empty(by_demand)
    Native.stage_extent(events, 20_000)
    Native.stage_filter([{:is, :id, 5}], events)
    true = Native.stage_cancel(by_demand, 1)

    broadcast = Native.stage_new(10, :first, :broadcast)
    :ok = Native.stage_subscribe(broadcast, 1, {:drop_oldest, 10})
    Native.stage_ask(broadcast, 1, 10)
    Native.stage_emit(broadcast, 10)
    Native.stage_share(broadcast, 1, 10, 5)

    partition = Native.stage_new(10, :first, {:partition, 100, nil})
    for n <- 0..99, do: :ok = Native.stage_subscribe(partition, n, {:partition, n})
    for n <- 0..99, do: Native.stage_ask(partition, n, 10)
    Native.stage_split(partition, 0, List.duplicate(1, 100), 0)
    Native.stage_deal_to(partition, 0, 5, 1)
    Native.stage_holders(partition, 5, 1)
    Native.stage_serve(partition, 5)
    Native.stage_mark_queues(partition)
  end

  # A source that brings what it is asked for is soon dealt for beforehand.
  defp ask_ahead(output) do
    with 100 <- Native.stage_ask_ahead(output, 1, 100) do
      1 = Native.stage_emit(output, 100)
      ask_ahead(output)
    end
  end

  defp spill(_output, []), do: :ok

  defp spill(output, events) do
    {rest, _stored, _evicted, _from_heap, _marks} = Native.stage_spill(output, events, length(events))
    spill(output, rest)
  end

  defp empty(output), do: if(Native.stage_take(output, 100_000), do: empty(output))

  defp json do
    for size <- [0, 100, 10_000, 16_000, 100_000],
        unit <- ["1", ~s("word"), ~s({"a":1,"b":[true,null]}), "123456789012345678901234567890", "[[1.5]]"] do
      text = "[" <> Enum.join(List.duplicate(unit, div(size, byte_size(unit)) + 1), ",") <> "]"
      {:ok, term} = Json.decode(text)
      {:ok, _text} = Json.encode(term)
    end
  end

  # Reads a whole stream that is ready: how many events each call gave out.
  defp reading(store, connection, count, size, json \\ true) do
    stream = "read-#{size}"
    body = ~s({"text":") <> String.duplicate("x", max(size - 11, 1)) <> ~s("})
    known = known(store, stream)

    for chunk <- Enum.chunk_every(Enum.drop(1..count, known), max(1, min(1000, div(900_000, size + 200)))) do
      {:ok, _} = EventStore.append(store, stream, for(_ <- chunk, do: Event.new("Read", {:raw, body})))
    end

    wanted =
      {{100_000, 100_000_000, 1000}, {json, true}, {:demand, nil, nil, nil}, :forward, {self(), make_ref()}}

    {:ok, producer} =
      Native.linear_open(connection, {:stream, stream, :start}, {true, 17_825_792, :wait}, wanted)

    :ok = Native.producer_subscribe(producer, 1, {self(), make_ref()}, nil, nil)
    await_ready(producer, count)
    _ = Native.producer_set_demand(producer, :forward)
    _ = Native.producer_demand_of(producer, 1)
    next = Native.producer_ask(producer, 1, count)
    slices = slices(next, producer, %{ordinary: [given()], dirty: [], count: count})
    # each call once at least, if only with nothing to give
    _ = Native.producer_serve_dirty(producer)
    _ = Native.producer_serve(producer)
    _ = Native.producer_decline(producer, 1, 1)
    [] = Native.producer_holders(producer, 0, 1)
    :ok = Native.producer_want(producer, 0)
    _ = Native.producer_take(producer)
    _ = Native.producer_take_dirty(producer)
    _ = Native.producer_cancel(producer, 1)
    :ok = Native.producer_close(producer)
    slices
  end

  defp known(store, stream) do
    case EventStore.read(store, stream, from: :end, direction: :backwards, max_count: 1) do
      {:ok, [last]} -> last.metadata.stream_revision + 1
      {:error, %{reason: :stream_not_found}} -> 0
    end
  end

  defp await_ready(producer, count),
    do: if(Native.producer_info(producer).ready_events < count, do: await_ready(producer, count))

  defp slices({next, [], _marks}, producer, slices), do: slices(next, producer, slices)
  defp slices(:more, producer, slices), do: slice(producer, slices)
  defp slices(:large, producer, slices), do: slice(producer, slices, &Native.producer_serve_dirty/1, :dirty)

  # Either all were given out, or a message that says to go on is on its way.
  defp slices(:ok, producer, %{ordinary: ordinary, dirty: dirty, count: count} = slices) do
    if Enum.sum(ordinary) + Enum.sum(dirty) == count do
      slices
    else
      receive do: ({:penstock, :ready} -> slice(producer, slices))
    end
  end

  defp slice(producer, slices, serve \\ &Native.producer_serve/1, kind \\ :ordinary) do
    next = serve.(producer)
    slices(next, producer, Map.update!(slices, kind, &[given() | &1]))
  end

  # How many events have come since.
  defp given(count \\ 0) do
    receive do
      {:"$gen_consumer", _from, events} -> given(count + length(events))
    after
      0 -> count
    end
  end

  defp print(times) do
    for {name, %{longest_ns: longest, count: count}} <- Enum.sort_by(times, &(-elem(&1, 1).longest_ns)),
        do: IO.puts("#{name}: #{div(longest, 1000)} us at most, #{count} calls")
  end
end
