defmodule Penstock.Stage.GenStageTest do
  # Stages beside those of the gen_stage library, in both directions.
  use ExUnit.Case, async: true

  import Penstock.StageWire

  alias Penstock.{ScriptedStage, Stage}

  @moduletag :gen_stage
  @moduletag :capture_log

  # By its name at run time, for the compiler is not to look for what may be absent, and infers what a function returns.
  defp stock, do: Module.concat(["GenStage"])

  defp start(library, type, options, script \\ %{}) do
    {:ok, pid} = ScriptedStage.start(type, options, script, library: library)
    on_exit(fn -> Process.exit(pid, :kill) end)
    pid
  end

  defp counter(library, options \\ []) do
    count = fn n, script ->
      next = Map.get(script, :next, 1)
      {:noreply, Enum.to_list(next..(next + n - 1)), Map.put(script, :next, next + n)}
    end

    start(library, :producer, options, %{handle_demand: count})
  end

  # Hands its events to the test until it has got `n`, then ends.
  defp collector(library, producers, n) do
    collect = fn events, _from, script ->
      got = Map.get(script, :got, 0) + length(events)
      step = if got >= n, do: :stop, else: :noreply
      script = Map.put(script, :got, got)
      if step == :stop, do: {:stop, :normal, script}, else: {:noreply, [], script}
    end

    start(library, :consumer, [subscribe_to: producers], %{handle_events: collect})
  end

  defp doubler(library, producers, options \\ []) do
    double = fn events, _from, script -> {:noreply, Enum.map(events, &(&1 * 2)), script} end
    start(library, :producer_consumer, [subscribe_to: producers] ++ options, %{handle_events: double})
  end

  defp collected(consumer) do
    monitor = Process.monitor(consumer)
    assert_receive {:DOWN, ^monitor, _, _, reason} when reason in [:normal, :noproc]
    take_collected(consumer)
  end

  defp take_collected(consumer) do
    receive do
      {:handle_events, ^consumer, events, _from} -> events ++ take_collected(consumer)
    after
      0 -> []
    end
  end

  test "a consumer of either library takes events from a producer of either, in order" do
    for producer <- [Stage, stock()], consumer <- [Stage, stock()], max <- [1, 2, 10, 1000] do
      producer = counter(producer)
      consumer = collector(consumer, [{producer, max_demand: max}], 1000)
      got = collected(consumer)
      assert got == Enum.to_list(1..length(got))
      assert length(got) >= 1000
    end
  end

  test "both libraries call handle_events with the same batches" do
    for subscription <- [
          [max_demand: 10, min_demand: 7],
          [max_demand: 7],
          [max_demand: 5, min_demand: 0],
          [max_demand: 1]
        ] do
      [ours, theirs] =
        for library <- [Stage, stock()] do
          consumer = start(library, :consumer, subscribe_to: [{self(), subscription}])
          {tag, _options} = accept(consumer, subscription[:max_demand])
          for size <- [1, 2, 3, 7, 5, 11, 1], do: send_events(consumer, tag, Enum.to_list(1..size))
          settle(consumer)
          handled(consumer)
        end

      assert ours == theirs
    end
  end

  defp handled(consumer) do
    receive do
      {:handle_events, ^consumer, events, _from} -> [events | handled(consumer)]
      {:"$gen_producer", {^consumer, _tag}, {:ask, n}} -> [{:ask, n} | handled(consumer)]
    after
      0 -> []
    end
  end

  test "both libraries give the same events to the same consumers" do
    [ours, theirs] =
      for library <- [Stage, stock()] do
        producer = start(library, :producer, [])
        tags = for n <- [3, 9, 5], do: ask(producer, subscribe(producer), n)
        for size <- [4, 1, 6, 10], do: :ok = library.call(producer, {:emit, Enum.to_list(1..size)})
        [first, _, last] = tags
        cancel(producer, first, :bye)
        ask(producer, last, 8)
        for tag <- tags, do: batches(producer, tag)
      end

    assert ours == theirs
  end

  test "a chain may change libraries at every step" do
    for libraries <- [[Stage, stock(), Stage, stock()], [stock(), Stage, stock(), Stage]] do
      [first, second, third, fourth] = libraries
      source = counter(first)
      middle = doubler(second, [{source, max_demand: 20}])
      last = doubler(third, [{middle, max_demand: 7}])
      got = fourth |> collector([{last, max_demand: 13}], 1000) |> collected()
      assert got == Enum.map(1..length(got), &(&1 * 4))
    end
  end

  test "several consumers of both libraries share a producer without loss or doubles" do
    for library <- [Stage, stock()] do
      producer = counter(library, demand: :accumulate)

      consumers =
        for kind <- [Stage, stock(), Stage, stock()],
            do: collector(kind, [{producer, max_demand: 50, cancel: :temporary}], 500)

      library.demand(producer, :forward)
      got = consumers |> Enum.flat_map(&collected/1) |> Enum.sort()
      assert got == Enum.uniq(got)
      assert length(got) >= 2000
    end
  end

  test "the functions of GenStage work on our stages, and ours on theirs" do
    for {functions, library} <- [{stock(), Stage}, {Stage, stock()}] do
      producer = start(library, :producer, buffer_size: 100)
      consumer = start(library, :consumer, [])

      assert functions.call(producer, {:emit, [1, 2, 3]}) == :ok
      assert functions.estimate_buffered_count(producer) == 3
      assert functions.sync_info(producer, :synced) == :ok
      assert functions.async_info(producer, :posted) == :ok
      assert functions.demand(producer) == :forward
      assert functions.sync_subscribe(producer, to: consumer) == {:error, :not_a_consumer}
      assert {:error, {:bad_opts, _}} = functions.sync_subscribe(consumer, to: producer, max_demand: 0)

      assert {:ok, tag} = functions.sync_subscribe(consumer, to: producer, max_demand: 4, cancel: :temporary)
      assert_receive {:handle_events, ^consumer, [1, 2], {^producer, ^tag}}
      assert_receive {:handle_info, ^producer, :synced}
      assert_receive {:handle_info, ^producer, :posted}

      assert {:ok, second} = functions.sync_resubscribe(consumer, tag, :renewed, to: producer, max_demand: 2)
      assert_receive {:handle_cancel, ^producer, {:cancel, :renewed}, {^consumer, ^tag}}
      assert_receive {:handle_cancel, ^consumer, {:cancel, :renewed}, {^producer, ^tag}}
      assert functions.async_subscribe(consumer, to: producer, max_demand: 3) == :ok
      assert_receive {:handle_subscribe, ^producer, :consumer, [max_demand: 3], {^consumer, third}}
      assert second != third

      assert functions.demand(producer, :accumulate) == :ok
      assert functions.demand(producer) == :accumulate
      assert functions.stop(consumer) == :ok
      assert_receive {:handle_cancel, ^producer, {:down, :normal}, {^consumer, ^second}}
      assert functions.stop(producer, :shutdown) == :ok
    end
  end

  test "a bare process asks and cancels with the functions of either library" do
    for {functions, library} <- [{stock(), Stage}, {Stage, stock()}] do
      producer = counter(library)
      tag = subscribe(producer)
      assert functions.ask({producer, tag}, 0) == :ok
      assert functions.ask({producer, tag}, 2) == :ok
      assert_receive {:"$gen_consumer", {^producer, ^tag}, [1, 2]}
      assert functions.cancel({producer, tag}, :enough) == :ok
      assert_receive {:"$gen_consumer", {^producer, ^tag}, {:cancel, :enough}}
    end
  end

  test "GenStage.stream enumerates our producers" do
    producer = counter(Stage, demand: :accumulate)
    assert [{producer, max_demand: 10}] |> stock().stream() |> Enum.take(25) == Enum.to_list(1..25)
  end

  test "GenStage.from_enumerable feeds our consumers, who end with it as they are told" do
    {:ok, producer} = stock().from_enumerable(1..1000, demand: :accumulate)
    consumer = start(Stage, :consumer, subscribe_to: [{producer, max_demand: 30}])
    stock().demand(producer, :forward)
    assert collected(consumer) == Enum.to_list(1..1000)
  end
end
