defmodule Penstock.Stage.ProducerConsumerTest do
  use ExUnit.Case, async: true

  import Penstock.StageWire

  alias Penstock.{ScriptedStage, Stage}

  @moduletag :capture_log

  # The test process plays both the producer and the consumer.
  defp stage(subscription, script \\ %{handle_events: fn events, _, script -> {:noreply, events, script} end}) do
    {:ok, pid} = ScriptedStage.start(:producer_consumer, [subscribe_to: [{self(), subscription}]], script)
    on_exit(fn -> Process.exit(pid, :kill) end)
    {upstream, _options} = accept(pid, subscription[:max_demand])
    {pid, upstream}
  end

  test "events wait until its own consumers ask, and are asked for again only then" do
    {stage, upstream} = stage(max_demand: 4, min_demand: 2)
    send_events(stage, upstream, [1, 2])
    settle(stage)
    refute_received {:handle_events, _, _, _}
    refute_received {:"$gen_producer", _, {:ask, _}}

    downstream = ask(stage, subscribe(stage), 1)
    assert batches(stage, downstream) == [[1]]
    assert_receive {:"$gen_producer", {^stage, ^upstream}, {:ask, 2}}
    assert Stage.estimate_buffered_count(stage) == 1
    assert batches(stage, ask(stage, downstream, 1)) == [[2]]
  end

  test "it may return more events than it got, or fewer" do
    script = %{
      handle_events: fn events, _, script ->
        {:noreply, Enum.flat_map(events, &List.duplicate(&1, &1)), script}
      end
    }

    {stage, upstream} = stage([max_demand: 10], script)
    downstream = ask(stage, subscribe(stage), 3)
    send_events(stage, upstream, [0, 1, 2, 3])
    assert batches(stage, downstream) == [[1, 2, 2]]
    assert batches(stage, ask(stage, downstream, 10)) == [[3, 3, 3]]
  end

  test "its buffer has no limit unless told otherwise" do
    {stage, _upstream} = stage(max_demand: 10)
    :ok = Stage.call(stage, {:emit, Enum.to_list(1..50_000)})
    assert Stage.estimate_buffered_count(stage) == 50_000
    downstream = ask(stage, subscribe(stage), 50_000)
    assert stage |> batches(downstream) |> Enum.concat() == Enum.to_list(1..50_000)
  end

  test "a message sent with sync_info waits behind events that it has not handled yet" do
    {stage, upstream} = stage(max_demand: 4)
    send_events(stage, upstream, [1, 2])
    :ok = Stage.sync_info(stage, :behind)
    settle(stage)
    refute_received {:handle_info, _, _}
    ask(stage, subscribe(stage), 5)
    assert_receive {:handle_info, ^stage, :behind}
  end

  test "it hands on what it has before it ends with its producer" do
    {stage, upstream} = stage(max_demand: 4, cancel: :transient)
    monitor = Process.monitor(stage)
    send_events(stage, upstream, [1, 2])
    send_cancel(stage, upstream, :over)
    settle(stage)
    refute_received {:handle_cancel, _, _, _}
    downstream = ask(stage, subscribe(stage), 5)
    assert_receive {:"$gen_consumer", {^stage, ^downstream}, [1, 2]}
    assert_receive {:DOWN, ^monitor, _, _, :over}
  end

  test "it forwards demand, and accumulating is not for it" do
    {stage, _upstream} = stage(max_demand: 4)
    :ok = Stage.demand(stage, :forward)
    assert Stage.demand(stage) == :forward
    :ok = Stage.demand(stage, :accumulate)
    assert Stage.demand(stage) == :forward
  end
end
