defmodule Penstock.LinearSubscription.MergedTest do
  use ExUnit.Case, async: true

  import Penstock.Store

  alias Penstock.{Event, EventStore, Filter, LinearSubscription, Position, StageWire}

  setup do
    start()
  end

  # PENSTOCK_SEED replays one.
  defp seeds do
    case System.get_env("PENSTOCK_SEED") do
      nil -> for _ <- 1..5, do: :rand.uniform(1_000_000_000)
      seed -> [String.to_integer(seed)]
    end
  end

  @streams ["orders-1", "orders.2", "(c)|$ d", "ä\\"]
  @others ["orders-10", "orders-1 ", "ordersX2", "c", "ä"]

  defp append(store, random) do
    {stream, random} = pick(@streams ++ @others, random)
    {count, random} = :rand.uniform_s(5, random)
    {:ok, _} = EventStore.append(store, stream, for(number <- 1..count, do: Event.new("T", number)))
    {if(stream in @streams, do: count, else: 0), random}
  end

  defp pick(list, random) do
    {at, random} = :rand.uniform_s(length(list), random)
    {Enum.at(list, at - 1), random}
  end

  test "events of several streams come once, in the order of the log, each stream whole, also those that are written meanwhile, and after a restart in between",
       %{store: store} do
    for seed <- seeds() do
      streams = Enum.map(@streams, &{&1, EventStore.current_revision(store, &1)})
      first = for {stream, {:ok, revision}} <- streams, into: %{}, do: {stream, revision + 1}
      random = :rand.seed_s(:exsss, seed)
      {:ok, from} = EventStore.append(store, "fence", Event.new("T", 1))
      {before, random} = Enum.map_reduce(1..40, random, fn _, random -> append(store, random) end)
      options = [read_opts: [max_count: 7], buffer_size: 20]
      start = fn -> from.position end
      producer = subscribe(store, @streams, [restore_stream_position!: start] ++ options)
      half = div(Enum.sum(before), 2)
      tag = consume(producer, half)
      head = take(producer, tag, half)
      {later, _random} = Enum.map_reduce(1..40, random, fn _, random -> append(store, random) end)
      left = Enum.sum(before) + Enum.sum(later) - half
      StageWire.ask(producer, tag, left)
      tail = take(producer, tag, left)
      events = head ++ tail
      positions = Enum.map(events, &Event.position/1)
      assert positions == Enum.sort(positions, Position) |> Enum.uniq(), "PENSTOCK_SEED=#{seed}"

      for {stream, events} <- Enum.group_by(events, & &1.metadata.stream_name) do
        revisions = Enum.map(events, &Event.revision/1)
        begins = first[stream] || 0
        assert revisions == Enum.to_list(begins..(begins + length(events) - 1)), "PENSTOCK_SEED=#{seed}"
      end

      # whoever goes on after any of them has the rest
      {kept, rest} = Enum.split(events, div(length(events), 3))
      again = subscribe(store, @streams, [restore_stream_position!: fn -> List.last(kept) end] ++ options)

      assert take(again, consume(again, length(rest)), length(rest)) |> Enum.map(& &1.id) ==
               Enum.map(rest, & &1.id)

      for subscription <- [producer, again], do: GenServer.stop(subscription)
    end
  end

  test "a stream that is not there yet holds nobody up, and comes when it is", %{store: store} do
    producer = subscribe(store, ["a", "b"])
    tag = consume(producer, 10)
    assert %{stream_name: ["a", "b"], revision: nil} = await_info(producer, &(&1.state == :subscribed))
    fill(store, "a", 2)
    assert [_, _] = take(producer, tag, 2)
    fill(store, "b", 1)
    assert [%{metadata: %{stream_name: "b"}}] = take(producer, tag, 1)
  end

  test "lists that are none, other streams' events and filters are refused by name", %{store: store} do
    options = [connection: store, restore_stream_position!: fn -> :start end]
    long = for number <- 1..1001, do: "s#{number}"

    for {more, what} <- [
          {[stream_name: []], ~r/option :stream_name takes a string that is not empty, :all, or a list/},
          {[stream_name: ["a", "a"]], ~r/option :stream_name takes/},
          {[stream_name: ["a", :b]], ~r/option :stream_name takes/},
          {[stream_name: long], ~r/option :stream_name takes/},
          {[stream_name: ["a", "$all"]], ~r/which reads know as :all/},
          {[stream_name: ["a"], filter: Filter.by_type(prefix: "T")], ~r/:filter takes nil of named streams/}
        ] do
      assert_raise ArgumentError, what, fn -> LinearSubscription.start_link(options ++ more) end
    end

    Process.flag(:trap_exit, true)
    fill(store, "c", 1)
    {:ok, [event]} = EventStore.read(store, "c")
    options = [connection: store, stream_name: ["a", "b"], restore_stream_position!: fn -> event end]
    assert {:error, {%ArgumentError{message: message}, _}} = LinearSubscription.start_link(options)
    assert message =~ ~s(read from "c")
  end
end
