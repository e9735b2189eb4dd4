defmodule Penstock.Stage.ProducerTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog
  import Penstock.StageWire

  alias Penstock.{ScriptedStage, Stage}

  @moduletag :capture_log

  defp producer(options \\ [], script \\ %{}) do
    {:ok, pid} = ScriptedStage.start(:producer, options, script)
    on_exit(fn -> Process.exit(pid, :kill) end)
    pid
  end

  # Counts up, handing out exactly what it is asked for.
  defp counter(options \\ []) do
    count = fn n, script ->
      next = Map.get(script, :next, 0)
      {:noreply, Enum.to_list(next..(next + n - 1)), Map.put(script, :next, next + n)}
    end

    producer(options, %{handle_demand: count})
  end

  test "an ask is handed to handle_demand and answered with an events message" do
    producer = counter()
    tag = subscribe(producer)
    ask(producer, tag, 3)
    assert_receive {:"$gen_consumer", {^producer, ^tag}, [0, 1, 2]}
    assert_receive {:handle_demand, ^producer, 3}
    ask(producer, tag, 2)
    assert_receive {:"$gen_consumer", {^producer, ^tag}, [3, 4]}
  end

  test "any term may be the tag of a subscription" do
    producer = counter()
    tag = subscribe(producer, {make_ref(), make_ref()})
    ask(producer, tag, 1)
    assert_receive {:"$gen_consumer", {^producer, ^tag}, [0]}
  end

  test "handle_subscribe sees the options of the subscription as they were sent" do
    producer = producer()
    options = [max_demand: 7, anything: :else]
    tag = subscribe(producer, make_ref(), nil, options)
    me = self()
    assert_receive {:handle_subscribe, ^producer, :consumer, ^options, {^me, ^tag}}
  end

  test "a tag that is in use is refused, and its subscription goes on" do
    producer = counter()
    tag = subscribe(producer)

    log =
      capture_log(fn ->
        subscribe(producer, tag)
        assert_receive {:"$gen_consumer", {^producer, ^tag}, {:cancel, :duplicated_subscription}}
      end)

    assert log =~ "duplicated subscription"
    ask(producer, tag, 1)
    assert_receive {:"$gen_consumer", {^producer, ^tag}, [0]}
  end

  test "an ask under a tag that nobody subscribed is answered with a cancellation" do
    producer = counter()
    tag = ask(producer, make_ref(), 1)
    assert_receive {:"$gen_consumer", {^producer, ^tag}, {:cancel, :unknown_subscription}}
    refute_received {:handle_demand, _, _}
  end

  test "a cancellation is confirmed with its reason and told to handle_cancel" do
    producer = producer()
    tag = subscribe(producer)
    cancel(producer, tag, :enough)
    assert_receive {:"$gen_consumer", {^producer, ^tag}, {:cancel, :enough}}
    me = self()
    assert_receive {:handle_cancel, ^producer, {:cancel, :enough}, {^me, ^tag}}
    cancel(producer, tag, :enough)
    settle(producer)
    refute_received {:"$gen_consumer", _, _}
  end

  test "a subscription that names another one takes its place" do
    producer = counter()
    old = subscribe(producer)
    new = subscribe(producer, make_ref(), {old, :renewed})
    assert_receive {:"$gen_consumer", {^producer, ^old}, {:cancel, :renewed}}
    ask(producer, new, 1)
    assert_receive {:"$gen_consumer", {^producer, ^new}, [0]}
  end

  test "the death of a consumer ends its subscription" do
    producer = producer()
    consumer = spawn(fn -> receive do: (:die -> exit(:dead)) end)
    send(producer, {:"$gen_producer", {consumer, :tag}, {:subscribe, nil, []}})
    settle(producer)
    send(consumer, :die)
    assert_receive {:handle_cancel, ^producer, {:down, :dead}, {^consumer, :tag}}
  end

  test "an ask for nothing or less changes nothing" do
    producer = counter()
    tag = subscribe(producer)

    log =
      capture_log(fn ->
        ask(producer, tag, 0)
        ask(producer, tag, -5)
        assert batches(producer, tag) == []
      end)

    assert log =~ "ignores an ask for -5 events"
    ask(producer, tag, 1)
    assert_receive {:"$gen_consumer", {^producer, ^tag}, [0]}
    assert_receive {:handle_demand, ^producer, 1}
    refute_received {:handle_demand, _, _}
  end

  test "an ask beyond all numbers is served like any other" do
    producer = producer()
    tag = subscribe(producer)
    ask(producer, tag, Integer.pow(2, 80))
    :ok = Stage.call(producer, {:emit, [:a]})
    assert_receive {:"$gen_consumer", {^producer, ^tag}, [:a]}
  end

  test "demand that a dead consumer leaves behind is not asked for again" do
    producer = producer()
    first = ask(producer, subscribe(producer), 10)
    assert_receive {:handle_demand, ^producer, 10}
    cancel(producer, first, :done)
    second = ask(producer, subscribe(producer), 12)
    assert_receive {:handle_demand, ^producer, 2}
    :ok = Stage.call(producer, {:emit, Enum.to_list(1..12)})
    assert batches(producer, second) == [Enum.to_list(1..12)]
  end

  test "events go to the consumer that waits for most" do
    producer = producer()
    [few, many] = for n <- [3, 5], do: ask(producer, subscribe(producer), n)
    :ok = Stage.call(producer, {:emit, Enum.to_list(1..4)})
    assert batches(producer, few) == []
    assert batches(producer, many) == [[1, 2, 3, 4]]
    :ok = Stage.call(producer, {:emit, Enum.to_list(5..9)})
    assert batches(producer, few) == [[5, 6, 7]]
    assert batches(producer, many) == [[8]]
    assert Stage.estimate_buffered_count(producer) == 1
  end

  test "an ask larger than the first is served and logged" do
    producer = counter()
    tag = ask(producer, subscribe(producer), 2)

    log =
      capture_log(fn ->
        ask(producer, tag, 3)
        assert batches(producer, tag) == [[0, 1], [2, 3, 4]]
      end)

    assert log =~ "expects a maximum demand of 2"
  end

  test "events may come from any callback" do
    producer = producer([], %{handle_subscribe: fn _, _, _, script -> {:automatic, script} end})
    tag = ask(producer, subscribe(producer), 10)
    :ok = Stage.call(producer, {:emit, [:call]})
    :ok = Stage.cast(producer, {:emit, [:cast]})
    send(producer, {:emit, [:info]})
    assert batches(producer, tag) == [[:call], [:cast], [:info]]
  end

  describe "a source that has met every ask at once" do
    # Follows the rule until it is told how to answer the next ask.
    defp prompt(dispatcher \\ Penstock.DemandDispatcher) do
      answer = fn n, script ->
        next = Map.get(script, :next, 0)

        brings = fn count ->
          {Enum.to_list(next..(next + count - 1)//1), Map.put(script, :next, next + count)}
        end

        case Map.get(script, :answer, :exact) do
          :exact -> brings.(n) |> then(fn {events, script} -> {:noreply, events, script} end)
          {:count, count} -> brings.(count) |> then(fn {events, script} -> {:noreply, events, script} end)
          :hibernate -> brings.(n) |> then(fn {events, script} -> {:noreply, events, script, :hibernate} end)
          :improper -> {:noreply, [1 | 2], script}
          :raise -> raise "no events"
        end
      end

      next = fn {:next, how}, script -> {:noreply, [], Map.put(script, :answer, how)} end
      producer = producer([dispatcher: dispatcher], %{handle_demand: answer, handle_info: next})
      tag = subscribe(producer)
      for n <- 0..19, do: assert(once(producer, tag, 2) == [2 * n, 2 * n + 1])
      {producer, tag}
    end

    defp once(producer, tag, n) do
      ask(producer, tag, n)
      producer |> batches(tag) |> Enum.concat()
    end

    defp next(producer, how), do: send(producer, {:next, how})

    test "may bring less, more or nothing the next time, and owes what it has not brought" do
      for dispatcher <- [Penstock.DemandDispatcher, Penstock.BroadcastDispatcher] do
        {producer, tag} = prompt(dispatcher)
        next(producer, {:count, 1})
        assert once(producer, tag, 3) == [40]
        assert %{demand: 2} = Stage.info(producer)
        assert_receive {:handle_demand, ^producer, 3}
        next(producer, {:count, 5})
        assert once(producer, tag, 1) == [41, 42, 43]
        assert_receive {:handle_demand, ^producer, 1}
        assert %{demand: 0, buffered: 2} = Stage.info(producer)
        next(producer, {:count, 0})
        assert once(producer, tag, 4) == [44, 45]
        assert %{demand: 2, buffered: 0} = Stage.info(producer)
        Stage.cast(producer, {:emit, [46]})
        next(producer, :exact)
        assert once(producer, tag, 2) == [46, 46, 47]
      end
    end

    test "may hibernate" do
      {producer, tag} = prompt()
      next(producer, :hibernate)
      assert once(producer, tag, 2) == [40, 41]
    end

    test "and then fails or answers with nonsense ends without having sent anything" do
      for {how, error} <- [raise: %RuntimeError{message: "no events"}, improper: :badarg] do
        {producer, tag} = prompt()
        monitor = Process.monitor(producer)
        next(producer, how)
        ask(producer, tag, 2)
        assert_receive {:DOWN, ^monitor, _, _, {^error, _stack}}
        refute_received {:"$gen_consumer", {^producer, ^tag}, _events}
      end
    end

    test "serves who waits for most when two wait" do
      {producer, first} = prompt()
      second = subscribe(producer)
      next(producer, {:count, 0})
      assert once(producer, first, 3) == []
      next(producer, :exact)
      assert once(producer, second, 2) == []
      assert producer |> batches(first) |> Enum.concat() == [40, 41]
      assert %{demand: 3} = Stage.info(producer)
    end
  end

  test "events that handle_cancel returns go to those who stay" do
    producer = producer([], %{handle_cancel: fn _, _, script -> {:noreply, [:late], script, :hibernate} end})
    leaves = ask(producer, subscribe(producer), 5)
    stays = ask(producer, subscribe(producer), 1)
    cancel(producer, leaves, :bye)
    assert batches(producer, stays) == [[:late]]
    assert batches(producer, leaves) == []
  end

  test "a callback that returns nonsense ends the producer with what it returned" do
    producer = producer([], %{handle_demand: fn _, _ -> :nonsense end})
    monitor = Process.monitor(producer)

    capture_log(fn ->
      ask(producer, subscribe(producer), 1)
      assert_receive {:DOWN, ^monitor, _, _, {:bad_return_value, :nonsense}}
    end)
  end

  test "what is meant for a consumer is logged and ignored" do
    producer = counter()
    message = {:"$gen_consumer", {self(), make_ref()}, [1]}

    assert capture_log(fn ->
             send(producer, message)
             settle(producer)
           end) =~ "producer #{inspect(producer)} received $gen_consumer message"
  end

  test "a producer cannot subscribe" do
    producer = counter()

    capture_log(fn ->
      assert Stage.sync_subscribe(producer, to: counter()) == {:error, :not_a_consumer}
    end)
  end

  describe "accumulating" do
    test "holds demand and events back and lets them go in order" do
      producer = producer(demand: :accumulate)
      assert Stage.demand(producer) == :accumulate
      tag = ask(producer, subscribe(producer), 3)
      :ok = Stage.call(producer, {:emit, [:a, :b]})
      :ok = Stage.sync_info(producer, :behind)
      assert batches(producer, tag) == []
      refute_received {:handle_demand, _, _}
      refute_received {:handle_info, _, :behind}

      :ok = Stage.demand(producer, :forward)
      assert Stage.demand(producer) == :forward
      assert_receive {:handle_demand, ^producer, 3}
      assert batches(producer, tag) == [[:a, :b]]
      assert_receive {:handle_info, ^producer, :behind}
    end

    test "may begin and end at any time" do
      producer = counter()
      tag = ask(producer, subscribe(producer), 1)
      assert batches(producer, tag) == [[0]]
      :ok = Stage.demand(producer, :accumulate)
      :ok = Stage.demand(producer, :accumulate)
      ask(producer, tag, 1)
      assert batches(producer, tag) == []
      :ok = Stage.demand(producer, :forward)
      :ok = Stage.demand(producer, :forward)
      assert batches(producer, tag) == [[1]]
    end

    test "is nothing that a consumer does" do
      {:ok, consumer} = ScriptedStage.start(:consumer)

      assert capture_log(fn ->
               :ok = Stage.demand(consumer, :accumulate)
               settle(consumer)
             end) =~ "can only be set for producers"
    end
  end
end
