defmodule Penstock.BroadcastDispatcherTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog
  import Penstock.StageWire

  alias Penstock.{ScriptedStage, Stage}

  @moduletag :capture_log

  defp start(type, options, script \\ %{}) do
    {:ok, pid} = ScriptedStage.start(type, options, script)
    on_exit(fn -> Process.exit(pid, :kill) end)
    pid
  end

  defp producer(options \\ [], script \\ %{}),
    do: start(:producer, [dispatcher: Penstock.BroadcastDispatcher] ++ options, script)

  defp counter(options) do
    count = fn n, script ->
      next = Map.get(script, :next, 1)
      {:noreply, Enum.to_list(next..(next + n - 1)), Map.put(script, :next, next + n)}
    end

    producer(options, %{handle_demand: count})
  end

  defp emit(producer, events), do: :ok = Stage.call(producer, {:emit, Enum.to_list(events)})

  # A subscription of a process of its own, for each may have one; what it gets comes to the test as from the test.
  defp member(producer, options \\ []) do
    test = self()
    tag = make_ref()

    pid =
      spawn_link(fn ->
        subscribe(producer, tag, nil, options)
        send(test, {:joined, tag})
        relay(test, producer, tag)
      end)

    assert_receive {:joined, ^tag}
    {pid, tag}
  end

  defp flush(producer, tag, from) do
    settle(producer)
    send(from, {:flushed, tag})
  end

  defp relay(test, producer, tag) do
    receive do
      {:ask, n} -> ask(producer, tag, n)
      {:cancel, reason} -> cancel(producer, tag, reason)
      {:flush, from} -> flush(producer, tag, from)
      {:"$gen_consumer", _from, _content} = message -> send(test, message)
      :die -> exit(:shutdown)
    end

    relay(test, producer, tag)
  end

  defp got(producer, {pid, tag}) do
    send(pid, {:flush, self()})
    assert_receive {:flushed, ^tag}
    batches(producer, tag)
  end

  defp want(producer, {pid, tag}, n) do
    send(pid, {:ask, n})
    send(pid, {:flush, self()})
    assert_receive {:flushed, ^tag}
    settle(producer)
  end

  test "every consumer gets every event, none more than it has asked for" do
    producer = producer()
    [a, b] = [member(producer), member(producer)]
    want(producer, a, 3)
    refute_received {:handle_demand, _, _}
    want(producer, b, 5)
    assert_receive {:handle_demand, ^producer, 3}
    emit(producer, [1, 2, 3, 4])
    assert got(producer, a) == [[1, 2, 3]]
    assert got(producer, b) == [[1, 2, 3]]
    assert Stage.estimate_buffered_count(producer) == 1
    want(producer, a, 3)
    assert got(producer, a) == [[4]]
    assert got(producer, b) == [[4]]
    assert_receive {:handle_demand, ^producer, 1}
  end

  test "who comes late gets what is dispatched from then on, and holds the others up until it asks" do
    producer = producer()
    early = member(producer)
    want(producer, early, 10)
    emit(producer, [1])
    late = member(producer)
    emit(producer, [2])
    assert got(producer, early) == [[1]]
    want(producer, late, 1)
    assert got(producer, late) == [[2]]
    assert got(producer, early) == [[2]]
  end

  test "when the slowest consumer goes, the others get what they wait for" do
    producer = producer()
    [fast, slow] = [member(producer), member(producer)]
    want(producer, fast, 4)
    emit(producer, [1, 2])
    {pid, _} = slow
    send(pid, {:cancel, :enough})
    assert_receive {:handle_cancel, ^producer, {:cancel, :enough}, _}
    assert got(producer, fast) == [[1, 2]]
    assert_receive {:handle_demand, ^producer, 2}
  end

  test "the second subscription of a process is cancelled, and its consumer lives" do
    producer = counter(demand: :accumulate)
    consumer = start(:consumer, subscribe_to: [{producer, max_demand: 4}])

    log =
      capture_log(fn ->
        assert {:ok, second} = Stage.sync_subscribe(consumer, to: producer, max_demand: 4)
        assert_receive {:handle_cancel, ^consumer, {:cancel, :already_subscribed}, {^producer, ^second}}
      end)

    assert log =~ inspect(consumer)
    Stage.demand(producer, :forward)
    assert_receive {:handle_events, ^consumer, [1, 2], _}
    assert_receive {:handle_events, ^consumer, [3, 4], _}
  end

  test "a process that has cancelled may subscribe again" do
    producer = producer()
    tag = subscribe(producer)
    cancel(producer, tag, :pause)
    assert_receive {:"$gen_consumer", {^producer, ^tag}, {:cancel, :pause}}
    again = subscribe(producer)
    ask(producer, again, 1)
    emit(producer, [1])
    assert batches(producer, again) == [[1]]
  end

  test "a selector chooses, and what is not chosen costs its consumer no demand" do
    producer = counter([])
    all = member(producer)
    even = member(producer, selector: &(rem(&1, 2) == 0))
    want(producer, all, 8)
    want(producer, even, 4)
    # Each time as many more as even did not want of those before.
    for n <- [4, 2, 1, 1], do: assert_receive({:handle_demand, ^producer, ^n})
    assert producer |> got(even) |> Enum.concat() == [2, 4, 6, 8]
    assert producer |> got(all) |> Enum.concat() == Enum.to_list(1..8)
  end

  test "a consumer that wants nothing does not keep the producer from its other messages" do
    producer = counter([])
    nothing = member(producer, selector: fn _ -> false end)
    want(producer, nothing, 2)
    for _ <- 1..5, do: assert_receive({:handle_demand, ^producer, 2})
    assert Stage.call(producer, :hello) == :ok
    assert got(producer, nothing) == []
  end

  test "a selector that fails ends its subscription and nothing else" do
    producer = producer()
    good = member(producer)
    {_, tag} = bad = member(producer, selector: fn n -> if n == 2, do: raise("no 2"), else: true end)
    want(producer, good, 10)
    want(producer, bad, 2)
    assert capture_log(fn -> emit(producer, [1, 2]) end) =~ "no 2"
    reason = {:filter_failed, %RuntimeError{message: "no 2"}}
    assert_receive {:"$gen_consumer", {^producer, ^tag}, {:cancel, ^reason}}
    assert_receive {:handle_cancel, ^producer, {:cancel, ^reason}, _}
    emit(producer, [3])
    assert producer |> got(good) |> Enum.concat() == [1, 2, 3]
    assert got(producer, bad) == []
  end

  test "a selector that throws is no better than one that raises" do
    producer = producer()
    tag = subscribe(producer, make_ref(), nil, selector: fn _ -> throw(:out) end)
    ask(producer, tag, 1)
    emit(producer, [1])
    ask(producer, tag, 1)
    assert_receive {:"$gen_consumer", {^producer, ^tag}, {:cancel, {:filter_failed, {:throw, :out}}}}
    assert Process.alive?(producer)
  end

  test "what is no selector is refused with the reason" do
    producer = producer()
    tag = subscribe(producer, make_ref(), nil, selector: :even)
    assert_receive {:"$gen_consumer", {^producer, ^tag}, {:cancel, {:bad_opts, message}}}
    assert message == "expected :selector to be a function of one argument, got: :even"
  end

  test "a producer_consumer broadcasts what it gets, also after its slowest consumer has gone" do
    producer = start(:producer, [])

    double = fn events, _from, script -> {:noreply, Enum.map(events, &(&1 * 2)), script} end

    middle =
      start(
        :producer_consumer,
        [dispatcher: Penstock.BroadcastDispatcher, subscribe_to: [{producer, max_demand: 4}]],
        %{handle_events: double}
      )

    assert_receive {:handle_demand, ^producer, 4}
    [a, b] = [member(middle), member(middle)]
    want(middle, a, 4)
    want(middle, b, 2)
    emit(producer, [1, 2, 3])
    settle(producer)
    assert middle |> got(b) |> Enum.concat() == [2, 4]
    {pid, _} = b
    send(pid, {:cancel, :enough})
    assert_receive {:handle_cancel, ^middle, {:cancel, :enough}, _}
    settle(middle)
    assert middle |> got(a) |> Enum.concat() == [2, 4, 6]
  end

  test "a message behind buffered events comes once all have got them" do
    producer = producer()
    emit(producer, [1])
    :ok = Stage.sync_info(producer, :behind)
    [a, b] = [member(producer), member(producer)]
    want(producer, a, 1)
    refute_received {:handle_info, ^producer, :behind}
    want(producer, b, 1)
    assert_receive {:handle_info, ^producer, :behind}
  end

  describe "a consumer that need not be waited for" do
    test "gets what it waits for, then the last events that it has missed, in order" do
      producer = producer()
      [fast, slow] = [member(producer), member(producer, lag: {:drop_oldest, 3})]
      want(producer, fast, 100)
      want(producer, slow, 2)
      assert_receive {:handle_demand, ^producer, 100}
      for events <- [1..3, 4..4, 5..8], do: emit(producer, events)
      assert producer |> got(fast) |> Enum.concat() == Enum.to_list(1..8)
      assert got(producer, slow) == [[1, 2]]
      want(producer, slow, 2)
      assert got(producer, slow) == [[6, 7]]
      want(producer, slow, 2)
      emit(producer, [9, 10])
      assert producer |> got(slow) |> Enum.concat() == [8, 9]
      refute_received {:handle_demand, _, _}
    end

    test "does not lose events in silence" do
      producer = producer()
      [fast, slow] = [member(producer), member(producer, lag: {:drop_oldest, 1})]
      want(producer, fast, 100)
      want(producer, slow, 1)

      log =
        ExUnit.CaptureLog.capture_log(fn ->
          emit(producer, [1, 2, 3, 4])
          assert got(producer, slow) == [[1]]
        end)

      {pid, _tag} = slow
      assert log =~ "has dropped 2 events that #{inspect(pid)} lagged behind"
    end

    test "is cancelled when it lags, if it has said so" do
      producer = producer()
      fast = member(producer)
      {_, tag} = slow = member(producer, lag: :cancel)
      want(producer, fast, 5)
      want(producer, slow, 2)
      emit(producer, [1, 2])
      assert got(producer, slow) == [[1, 2]]
      emit(producer, [3])
      assert_receive {:"$gen_consumer", {^producer, ^tag}, {:cancel, :lagging}}
      assert_receive {:handle_cancel, ^producer, {:cancel, :lagging}, _}
      assert got(producer, fast) == [[1, 2], [3]]
    end

    test "sets the pace when all are like it, whatever its filter leaves out" do
      producer = counter([])
      even = member(producer, lag: {:drop_oldest, 1}, filter: &(rem(&1, 2) == 0))
      want(producer, even, 4)
      for n <- [4, 2, 1, 1], do: assert_receive({:handle_demand, ^producer, ^n})
      assert producer |> got(even) |> Enum.concat() == [2, 4, 6, 8]
    end

    test "leaves nothing behind for who comes next" do
      producer = producer()
      {pid, _} = member(producer, lag: {:drop_oldest, 10})
      fast = member(producer)
      want(producer, fast, 5)
      emit(producer, [1, 2])
      send(pid, {:cancel, :bye})
      assert_receive {:handle_cancel, ^producer, {:cancel, :bye}, _}
      next = member(producer, lag: {:drop_oldest, 10})
      want(producer, next, 5)
      assert got(producer, next) == []
      emit(producer, [3])
      assert got(producer, next) == [[3]]
    end

    test "is refused when it says otherwise" do
      producer = producer()
      tag = subscribe(producer, make_ref(), nil, lag: {:drop_oldest, 0})
      assert_receive {:"$gen_consumer", {^producer, ^tag}, {:cancel, {:bad_opts, message}}}

      assert message ==
               "expected :lag to be one of :block, :cancel and {:drop_oldest, positive integer}, got: {:drop_oldest, 0}"
    end
  end

  test "GenStage's name means this dispatcher, and it takes no options" do
    for name <- [GenStage.BroadcastDispatcher, Stage.BroadcastDispatcher] do
      stage = start(:producer, dispatcher: name)
      assert :sys.get_state(stage).output.dispatcher == Penstock.BroadcastDispatcher
    end

    assert {:error, {:bad_opts, "unknown options [max: 1]"}} =
             ScriptedStage.start(:producer, dispatcher: {Penstock.BroadcastDispatcher, max: 1})
  end
end
