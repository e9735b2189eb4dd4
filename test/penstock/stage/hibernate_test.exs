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
end
