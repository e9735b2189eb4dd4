defmodule Penstock.Stage.ControlTest do
  use ExUnit.Case, async: true

  import Penstock.StageWire

  alias Penstock.{ScriptedStage, Stage}

  @moduletag :capture_log

  defp start(type, options \\ [], script \\ %{}) do
    {:ok, pid} = ScriptedStage.start(type, options, script)
    on_exit(fn -> Process.exit(pid, :kill) end)
    pid
  end

  defp counter(options \\ []) do
    count = fn n, script ->
      next = Map.get(script, :next, 1)
      {:noreply, Enum.to_list(next..(next + n - 1)), Map.put(script, :next, next + n)}
    end

    start(:producer, options, %{handle_demand: count})
  end

  defp passer(options) do
    start(:producer_consumer, options, %{
      handle_events: fn events, _from, script -> {:noreply, events, script} end
    })
  end

  test "nothing leaves a paused producer, and nothing is lost" do
    producer = start(:producer)
    tag = subscribe(producer)
    ask(producer, tag, 2)
    assert_receive {:handle_demand, ^producer, 2}
    assert Stage.pause(producer) == :ok
    Stage.cast(producer, {:emit, [1, 2, 3]})
    ask(producer, tag, 5)
    Stage.cast(producer, {:emit, [4]})
    assert batches(producer, tag) == []
    refute_received {:handle_demand, ^producer, 5}

    assert Stage.resume(producer) == :ok
    assert List.flatten(batches(producer, tag)) == [1, 2, 3, 4]
    assert_received {:handle_demand, ^producer, 5}
  end

  test "what was buffered before a pause goes out before what came during it" do
    producer = start(:producer)
    tag = subscribe(producer)
    Stage.cast(producer, {:emit, [1, 2]})
    :ok = Stage.pause(producer)
    Stage.cast(producer, {:emit, [3, 4]})
    ask(producer, tag, 3)
    assert batches(producer, tag) == []
    :ok = Stage.resume(producer)
    assert List.flatten(batches(producer, tag)) == [1, 2, 3]
    ask(producer, tag, 3)
    assert List.flatten(batches(producer, tag)) == [4]
  end

  test "a pause holds more than the buffer may, when consumers have asked for it" do
    producer = start(:producer, buffer_size: 2)
    tag = subscribe(producer)
    ask(producer, tag, 10)
    :ok = Stage.pause(producer)
    for n <- 1..10, do: Stage.cast(producer, {:emit, [n]})
    :ok = Stage.resume(producer)
    assert List.flatten(batches(producer, tag)) == Enum.to_list(1..10)
    refute_received {:format_discarded, ^producer, _}
  end

  test "pausing twice is pausing once, and going on without a pause is nothing" do
    producer = counter()
    assert Stage.resume(producer) == :ok
    assert Stage.pause(producer) == :ok
    assert Stage.pause(producer) == :ok
    assert Stage.resume(producer) == :ok
    tag = subscribe(producer)
    ask(producer, tag, 2)
    assert batches(producer, tag) == [[1, 2]]
  end

  test "a producer that accumulated before the pause does so after it" do
    producer = counter(demand: :accumulate)
    tag = subscribe(producer)
    ask(producer, tag, 2)
    :ok = Stage.pause(producer)
    ask(producer, tag, 1)
    :ok = Stage.resume(producer)
    assert batches(producer, tag) == []
    assert Stage.demand(producer) == :accumulate
    Stage.demand(producer, :forward)
    assert batches(producer, tag) == [[1, 2], [3]]
  end

  test "what demand is set to during a pause holds after it" do
    producer = counter(demand: :accumulate)
    tag = subscribe(producer)
    ask(producer, tag, 2)
    :ok = Stage.pause(producer)
    Stage.demand(producer, :forward)
    assert Stage.demand(producer) == :forward
    assert batches(producer, tag) == []
    :ok = Stage.resume(producer)
    assert batches(producer, tag) == [[1, 2]]
  end

  test "a consumer may come and go during a pause" do
    producer = counter()
    :ok = Stage.pause(producer)
    [gone, here] = [subscribe(producer), subscribe(producer)]
    ask(producer, gone, 2)
    ask(producer, here, 2)
    cancel(producer, gone, :normal)
    ask(producer, :nobody, 1)
    assert_receive {:"$gen_consumer", {^producer, :nobody}, {:cancel, :unknown_subscription}}
    :ok = Stage.resume(producer)
    assert batches(producer, here) == [[1, 2]]
    assert_received {:"$gen_consumer", {^producer, ^gone}, {:cancel, :normal}}
    refute_received {:"$gen_consumer", {^producer, ^gone}, _}
  end

  test "messages that wait behind events keep their place" do
    producer = start(:producer)
    tag = subscribe(producer)
    ask(producer, tag, 1)
    :ok = Stage.pause(producer)
    Stage.cast(producer, {:emit, [1]})
    Stage.async_info(producer, :behind)
    settle(producer)
    refute_received {:handle_info, ^producer, :behind}
    :ok = Stage.resume(producer)
    assert batches(producer, tag) == [[1]]
    assert_receive {:handle_info, ^producer, :behind}
  end

  test "a paused producer_consumer keeps what it receives, and goes on in order" do
    middle = passer(subscribe_to: [{self(), max_demand: 10}])
    {upstream, _options} = accept(middle, 10)
    tag = subscribe(middle)
    ask(middle, tag, 4)
    :ok = Stage.pause(middle)
    send_events(middle, upstream, [1, 2, 3])
    Stage.cast(middle, {:emit, [:own]})
    ask(middle, tag, 10)
    assert batches(middle, tag) == []
    refute_received {:handle_events, ^middle, _, _}
    assert %{paused: true, waiting: 3, held: 1} = Stage.info(middle)
    :ok = Stage.resume(middle)
    assert List.flatten(batches(middle, tag)) == [:own, 1, 2, 3]
  end

  test "demand that comes free during a pause moves nothing before its end" do
    producer = start(:producer, dispatcher: Penstock.BroadcastDispatcher)
    eager = subscribe(producer)
    {slow, _monitor} = spawn_monitor(fn -> receive do: (:never -> :ok) end)
    send(producer, {:"$gen_producer", {slow, :slow}, {:subscribe, nil, []}})
    ask(producer, eager, 3)
    Stage.cast(producer, {:emit, [1, 2]})
    :ok = Stage.pause(producer)
    Process.exit(slow, :kill)
    assert_receive {:handle_cancel, ^producer, {:down, _reason}, {^slow, :slow}}
    assert batches(producer, eager) == []
    :ok = Stage.resume(producer)
    assert batches(producer, eager) == [[1, 2]]
  end

  test "info knows what each subscription waits for, whatever the dispatcher" do
    partitions = {Penstock.PartitionDispatcher, partitions: 1}

    for {dispatcher, options} <- [{Penstock.BroadcastDispatcher, []}, {partitions, [partition: 0]}] do
      producer = start(:producer, dispatcher: dispatcher)
      ask(producer, subscribe(producer, make_ref(), nil, options), 4)
      assert %{demand: 4, consumers: [%{demand: 4}]} = Stage.info(producer)
    end
  end

  test "a consumer cannot be paused" do
    consumer = start(:consumer)
    assert Stage.pause(consumer) == {:error, :not_a_producer}
    assert Stage.resume(consumer) == {:error, :not_a_producer}
  end

  test "a callback that stops the stage while it goes on is heeded" do
    producer = start(:producer, [], %{handle_demand: fn _n, script -> {:stop, :enough, script} end})
    monitor = Process.monitor(producer)
    ask(producer, subscribe(producer), 0 + 1)
    assert_receive {:DOWN, ^monitor, _, _, :enough}

    producer = start(:producer, [], %{handle_demand: fn _n, script -> {:stop, :enough, script} end})
    monitor = Process.monitor(producer)
    tag = subscribe(producer)
    :ok = Stage.pause(producer)
    ask(producer, tag, 1)
    settle(producer)
    assert Stage.resume(producer) == :ok
    assert_receive {:DOWN, ^monitor, _, _, :enough}
  end

  test "info tells a producer's figures" do
    producer = start(:producer)
    tag = subscribe(producer)
    ask(producer, tag, 5)
    Stage.cast(producer, {:emit, [1, 2]})
    me = self()

    assert %{type: :producer, module: ScriptedStage, mode: :forward, paused: false, demand: 3} =
             info = Stage.info(producer)

    assert %{pid: ^producer, buffered: 0, held: 0, waiting: 0, producers: []} = info
    assert [%{pid: ^me, tag: ^tag, demand: 3, asked_while_paused: 0}] = info.consumers
    Stage.cast(producer, {:emit, [3, 4, 5, 6]})
    assert %{demand: 0, buffered: 1} = Stage.info(producer)
    :ok = Stage.pause(producer)
    ask(producer, tag, 7)
    Stage.cast(producer, {:emit, [7]})

    assert %{paused: true, held: 1, buffered: 1, consumers: [%{asked_while_paused: 7}]} = Stage.info(producer)
  end

  test "info tells a consumer's figures" do
    consumer = start(:consumer, subscribe_to: [{self(), max_demand: 10, min_demand: 2, cancel: :temporary}])
    {tag, _options} = accept(consumer, 10)
    send_events(consumer, tag, [1, 2, 3])
    me = self()
    assert %{type: :consumer, mode: nil, demand: 0, buffered: 0, consumers: []} = info = Stage.info(consumer)

    assert info.producers == [
             %{producer: me, tag: tag, cancel: :temporary, demand: 7, min_demand: 2, max_demand: 10}
           ]
  end

  test "an ask that a pause holds back goes with its subscription, though the tag comes again" do
    producer = counter()
    :ok = Stage.pause(producer)
    tag = subscribe(producer)
    for _ <- 1..3, do: ask(producer, tag, 1)
    assert %{consumers: [%{asked_while_paused: 3}]} = Stage.info(producer)
    cancel(producer, tag, :over)
    subscribe(producer, tag)
    assert %{consumers: [%{asked_while_paused: 0}]} = Stage.info(producer)
    :ok = Stage.resume(producer)
    assert batches(producer, tag) == []
    ask(producer, tag, 2)
    assert batches(producer, tag) == [[1, 2]]
  end

  test "an ask held back by an accumulating producer goes with its subscription as well" do
    producer = start(:producer)
    Stage.call(producer, {:emit, [1, 2, 3]})
    Stage.demand(producer, :accumulate)
    tag = subscribe(producer)
    ask(producer, tag, 2)
    cancel(producer, tag, :over)
    subscribe(producer, tag)
    Stage.demand(producer, :forward)
    assert batches(producer, tag) == []
    ask(producer, tag, 1)
    assert batches(producer, tag) == [[1]]
  end

  test "the end of a subscription that the producer expels is not that of the next one under its tag" do
    producer = start(:producer, dispatcher: Penstock.BroadcastDispatcher)
    tag = subscribe(producer, make_ref(), nil, filter: fn _event -> raise "no" end)
    ask(producer, tag, 5)
    :sys.suspend(producer)
    Stage.cast(producer, {:emit, [1]})
    cancel(producer, tag, :over)
    subscribe(producer, tag)
    ask(producer, tag, 5)
    :sys.resume(producer)
    Stage.call(producer, {:emit, [2]})
    assert batches(producer, tag) == [[2]]
    assert_received {:"$gen_consumer", {^producer, ^tag}, {:cancel, :over}}
    refute_received {:"$gen_consumer", {^producer, ^tag}, {:cancel, _}}
  end

  test "what is buffered stays while a producer accumulates, and goes out before what it holds" do
    producer = start(:producer)
    tag = subscribe(producer)
    Stage.call(producer, {:emit, [1, 2, 3]})
    Stage.demand(producer, :accumulate)
    ask(producer, tag, 2)
    Stage.call(producer, {:emit, [4]})
    ask(producer, tag, 5)
    assert batches(producer, tag) == []
    Stage.demand(producer, :forward)
    assert List.flatten(batches(producer, tag)) == [1, 2, 3, 4]
    assert_receive {:handle_demand, ^producer, 3}
  end

  test "demand that comes free while a producer accumulates moves nothing before its end" do
    producer = start(:producer, dispatcher: Penstock.BroadcastDispatcher)
    eager = subscribe(producer)
    {slow, _monitor} = spawn_monitor(fn -> receive do: (:never -> :ok) end)
    send(producer, {:"$gen_producer", {slow, :slow}, {:subscribe, nil, []}})
    ask(producer, eager, 3)
    Stage.call(producer, {:emit, [1, 2]})
    Stage.demand(producer, :accumulate)
    Process.exit(slow, :kill)
    assert_receive {:handle_cancel, ^producer, {:down, _reason}, {^slow, :slow}}
    assert batches(producer, eager) == []
    Stage.demand(producer, :forward)
    assert batches(producer, eager) == [[1, 2]]
    assert_receive {:handle_demand, ^producer, 1}
  end

  test "info tells which of the buffered events are outside of the heap" do
    producer = start(:producer, buffer_size: :infinity)
    Stage.call(producer, {:emit, Enum.to_list(1..10_000)})
    assert %{buffered: 10_000, off_heap: 0} = Stage.info(producer)
    Stage.call(producer, {:emit, Enum.to_list(1..600)})
    # how many of the last 600 depends on how long their copying takes
    assert %{buffered: 10_600, off_heap: off_heap} = Stage.info(producer)
    assert off_heap in 1..600
    assert %{off_heap: 0} = Stage.info(start(:consumer))
  end

  test "a message to a producer that accumulates is handled behind what it holds" do
    producer = start(:producer, demand: :accumulate)
    tag = subscribe(producer)
    ask(producer, tag, 1)
    Stage.cast(producer, {:emit, [1]})
    Stage.async_info(producer, :behind)
    settle(producer)
    refute_received {:handle_info, ^producer, :behind}
    Stage.demand(producer, :forward)
    assert batches(producer, tag) == [[1]]
    assert_receive {:handle_info, ^producer, :behind}
  end
end
