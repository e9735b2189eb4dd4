defmodule Penstock.Stage.HibernateTest do
  # Every callback may have its stage hibernate. That it does is seen by where it leaves its scheduler.
  use ExUnit.Case, async: true

  import Penstock.StageWire

  alias Penstock.{ScriptedStage, Stage}

  @moduletag :capture_log

  defp noreply(events, script), do: {:noreply, events, script, :hibernate}

  defp start(type, options, script) do
    {:ok, pid} = ScriptedStage.start(type, options, script)
    on_exit(fn -> Process.exit(pid, :kill) end)
    settle(pid)
    :erlang.trace(pid, true, [:running])
    pid
  end

  defp hibernates(pid), do: assert_receive({:trace, ^pid, :out, {:erlang, :hibernate, _arity}})

  test "after handle_demand, and wakes up for the next one" do
    producer = start(:producer, [], %{handle_demand: fn _n, script -> noreply([1], script) end})
    tag = subscribe(producer)

    for _ <- 1..2 do
      ask(producer, tag, 1)
      hibernates(producer)
      assert batches(producer, tag) == [[1]]
    end
  end

  test "after handle_events" do
    consumer = start(:consumer, [], %{handle_events: fn _events, _from, script -> noreply([], script) end})

    {:ok, tag} = Stage.sync_subscribe(consumer, to: self(), max_demand: 1)
    send_events(consumer, tag, [1])
    hibernates(consumer)
  end

  test "after the handle_events of a producer_consumer, whether it came at once or had to wait" do
    pass = %{handle_events: fn events, _from, script -> noreply(events, script) end}
    middle = start(:producer_consumer, [], pass)
    {:ok, upstream} = Stage.sync_subscribe(middle, to: self(), max_demand: 10)
    tag = subscribe(middle)
    ask(middle, tag, 1)
    send_events(middle, upstream, [1])
    hibernates(middle)
    send_events(middle, upstream, [2])
    ask(middle, tag, 1)
    hibernates(middle)
    assert batches(middle, tag) == [[1], [2]]
  end

  test "after handle_call, with a reply or without" do
    script = %{
      handle_call: fn
        :reply, _from, script -> {:reply, :fine, [], script, :hibernate}
        :noreply, from, script -> GenServer.reply(from, :fine) && noreply([], script)
      end
    }

    stage = start(:producer, [], script)

    for request <- [:reply, :noreply] do
      assert Stage.call(stage, request) == :fine
      hibernates(stage)
    end
  end

  test "after handle_cast and handle_info" do
    script = %{
      handle_cast: fn _request, script -> noreply([], script) end,
      handle_info: fn _message, script -> noreply([], script) end
    }

    stage = start(:consumer, [], script)
    Stage.cast(stage, :sleep)
    hibernates(stage)
    send(stage, :sleep)
    hibernates(stage)
  end

  test "after handle_cancel, on both sides" do
    script = %{handle_cancel: fn _reason, _from, script -> noreply([], script) end}
    producer = start(:producer, [], script)
    cancel(producer, subscribe(producer), :over)
    hibernates(producer)

    consumer = start(:consumer, [], script)
    {:ok, tag} = Stage.sync_subscribe(consumer, to: self(), cancel: :temporary)
    send_cancel(consumer, tag, :over)
    hibernates(consumer)
  end

  # Every callback of a stage hibernates, and emits or asks what it is asked for.
  defp sleepers do
    %{
      handle_demand: fn n, script -> noreply(Enum.to_list(1..n), script) end,
      handle_events: fn events, _from, script -> noreply(events, script) end,
      handle_cancel: fn _reason, _from, script -> noreply([], script) end,
      handle_call: fn _request, _from, script -> {:reply, :ok, [], script, :hibernate} end,
      handle_cast: fn _request, script -> noreply([], script) end,
      handle_info: fn _message, script -> noreply([], script) end
    }
  end

  test "a subscription that takes the place of another is there, though handle_cancel hibernates" do
    for script <- [sleepers(), Map.delete(sleepers(), :handle_cancel), Map.delete(sleepers(), :handle_demand)] do
      producer = start(:producer, [], script)
      first = subscribe(producer)
      second = subscribe(producer, make_ref(), {first, :again})
      assert_receive {:"$gen_consumer", {^producer, ^first}, {:cancel, :again}}
      ask(producer, second, 2)
      Stage.call(producer, {:emit, [1, 2]})
      assert [_ | _] = batches(producer, second)
      assert length(Stage.info(producer).consumers) == 1
    end
  end

  test "a demand that handle_cancel brings about is asked for, and the stage hibernates then" do
    broadcast = [dispatcher: Penstock.BroadcastDispatcher]
    producer = start(:producer, broadcast, sleepers())
    [fast, slow] = [subscribe(producer), spawn_subscriber(producer)]
    ask(producer, fast, 3)
    assert batches(producer, fast) == []
    Process.exit(slow, :kill)
    assert_receive {:handle_demand, ^producer, 3}
    hibernates(producer)
    assert batches(producer, fast) == [[1, 2, 3]]
  end

  defp spawn_subscriber(producer) do
    pid = spawn(fn -> receive do: (:never -> :ok) end)
    send(producer, {:"$gen_producer", {pid, :slow}, {:subscribe, nil, []}})
    pid
  end

  test "what a pause has held back goes on, though every callback hibernates" do
    producer = start(:producer, [], sleepers())
    [one, other] = [subscribe(producer), subscribe(producer)]
    :ok = Stage.pause(producer)
    for {tag, n} <- [{one, 2}, {other, 3}, {one, 4}], do: ask(producer, tag, n)
    Stage.cast(producer, {:emit, [:held]})
    Stage.async_info(producer, :behind)
    :ok = Stage.resume(producer)
    assert_receive {:handle_info, ^producer, :behind}
    events = List.flatten(batches(producer, one) ++ batches(producer, other))
    assert length(events) == 2 + 3 + 4
    assert :held in events
    assert Stage.estimate_buffered_count(producer) == 1
  end

  test "demand that was accumulated goes on, though every callback hibernates" do
    producer = start(:producer, [demand: :accumulate], sleepers())
    tag = subscribe(producer)
    for n <- 1..3, do: ask(producer, tag, n)
    Stage.demand(producer, :forward)
    hibernates(producer)
    assert List.flatten(batches(producer, tag)) == [1, 1, 2, 1, 2, 3]
  end

  test "a producer_consumer works off what has come, though every callback hibernates" do
    middle = start(:producer_consumer, [], sleepers())
    {:ok, upstream} = Stage.sync_subscribe(middle, to: self(), max_demand: 10, cancel: :temporary)
    tag = subscribe(middle)
    for event <- 1..4, do: send_events(middle, upstream, [event])
    Stage.async_info(middle, :behind)
    send_cancel(middle, upstream, :over)
    ask(middle, tag, 10)
    assert List.flatten(batches(middle, tag)) == [1, 2, 3, 4]
    assert_receive {:handle_info, ^middle, :behind}
    assert_receive {:handle_cancel, ^middle, {:cancel, :over}, _from}
  end

  defp await_sleep(pid) do
    Process.info(pid, :current_function) == {:current_function, {:erlang, :hibernate, 3}} ||
      (:erlang.yield() && await_sleep(pid))
  end

  defp memory(pid), do: elem(Process.info(pid, :memory), 1)

  test "one that is looked at hibernates again" do
    {:ok, pid} = ScriptedStage.start(:consumer, [], sleepers())
    on_exit(fn -> Process.exit(pid, :kill) end)
    Stage.cast(pid, :sleep)
    assert await_sleep(pid)
    asleep = memory(pid)
    assert asleep < 8000

    for look <- [
          &:sys.get_state/1,
          &:sys.get_status/1,
          &:sys.replace_state(&1, fn state -> state end),
          &(:sys.suspend(&1) && :sys.resume(&1)),
          &send(&1, :"$penstock_rest")
        ] do
      look.(pid)
      assert await_sleep(pid)
      assert memory(pid) < 2 * asleep
    end

    assert Stage.call(pid, :hello) == :ok
  end

  test "one that does not hibernate stays awake when it is looked at" do
    {:ok, pid} = ScriptedStage.start(:consumer)
    on_exit(fn -> Process.exit(pid, :kill) end)
    :erlang.trace(pid, true, [:running])
    :sys.suspend(pid)
    :sys.resume(pid)
    settle(pid)
    refute_received {:trace, ^pid, :out, {:erlang, :hibernate, _arity}}
  end
end
