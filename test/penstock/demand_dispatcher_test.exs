defmodule Penstock.DemandDispatcherTest do
  use ExUnit.Case, async: true

  import Penstock.StageWire

  alias Penstock.{DemandDispatcher, ScriptedStage, Stage}

  @moduletag :capture_log

  defp limited(rate, type \\ :producer, options \\ [], script \\ %{}) do
    {:ok, pid} = ScriptedStage.start(type, [dispatcher: {DemandDispatcher, rate: rate}] ++ options, script)
    on_exit(fn -> Process.exit(pid, :kill) end)
    pid
  end

  defp now, do: System.monotonic_time(:millisecond)

  test "however many share a batch, each gets what it asked for and the rest waits" do
    {:ok, producer} = ScriptedStage.start(:producer)
    on_exit(fn -> Process.exit(producer, :kill) end)
    tags = for _ <- 1..400, do: ask(producer, subscribe(producer), 2)
    settle(producer)
    :ok = Stage.call(producer, {:emit, Enum.to_list(1..810)})

    for {tag, n} <- Enum.with_index(tags),
        do: assert(Enum.concat(batches(producer, tag)) == [2 * n + 1, 2 * n + 2])

    assert Stage.estimate_buffered_count(producer) == 10
    ask(producer, hd(tags), 20)
    assert batches(producer, hd(tags)) == [Enum.to_list(801..810)]
  end

  test "at a limited rate no more events leave in an interval, and no more are asked for" do
    count = fn n, script ->
      next = Map.get(script, :next, 1)
      {:noreply, Enum.to_list(next..(next + n - 1)), Map.put(script, :next, next + n)}
    end

    started = now()
    producer = limited({3, 40}, :producer, [], %{handle_demand: count})
    tag = ask(producer, subscribe(producer), 8)

    for {n, events} <- [{3, [1, 2, 3]}, {3, [4, 5, 6]}, {2, [7, 8]}] do
      assert_receive {:handle_demand, ^producer, ^n}
      assert_receive {:"$gen_consumer", {^producer, ^tag}, ^events}
    end

    assert now() - started >= 80
    assert Stage.estimate_buffered_count(producer) == 0
  end

  test "what comes unasked waits in the buffer for the next intervals" do
    producer = limited({2, 30})
    tag = ask(producer, subscribe(producer), 10)
    :ok = Stage.call(producer, {:emit, Enum.to_list(1..5)})
    assert Stage.estimate_buffered_count(producer) == 3
    for events <- [[1, 2], [3, 4], [5]], do: assert_receive({:"$gen_consumer", {^producer, ^tag}, ^events})
  end

  test "a rate that nobody uses up holds nobody up" do
    producer = limited({10, 60_000})
    tag = ask(producer, subscribe(producer), 4)
    assert_receive {:handle_demand, ^producer, 4}
    :ok = Stage.call(producer, {:emit, [1, 2, 3, 4]})
    assert batches(producer, tag) == [[1, 2, 3, 4]]
    ask(producer, tag, 10)
    assert_receive {:handle_demand, ^producer, 6}
  end

  test "a producer_consumer at a limited rate leaves the rest where it was" do
    {:ok, source} = ScriptedStage.start(:producer)
    pass = fn events, _from, script -> {:noreply, events, script} end

    middle =
      limited({2, 30}, :producer_consumer, [subscribe_to: [{source, max_demand: 4, min_demand: 2}]], %{
        handle_events: pass
      })

    assert_receive {:handle_demand, ^source, 4}
    tag = ask(middle, subscribe(middle), 100)
    :ok = Stage.call(source, {:emit, [1, 2, 3, 4]})
    for events <- [[1, 2], [3, 4]], do: assert_receive({:"$gen_consumer", {^middle, ^tag}, ^events})
  end

  test "a wrong rate ends the start with what it takes" do
    for rate <- [0, {0, 1}, {1, 0}, {1, 1.5}, {1, 4_294_967_296}] do
      assert ScriptedStage.start(:producer, dispatcher: {DemandDispatcher, rate: rate}) ==
               {:error,
                {:bad_opts,
                 "expected :rate to be a tuple of two positive integers, events and milliseconds (at most 4294967295), got: #{inspect(rate)}"}}
    end
  end
end
