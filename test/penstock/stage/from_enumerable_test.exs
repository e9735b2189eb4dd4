defmodule Penstock.Stage.FromEnumerableTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog
  import Penstock.StageWire

  alias Penstock.Stage

  @moduletag :capture_log

  defp start(enumerable, options \\ []) do
    {:ok, producer} = Stage.from_enumerable(enumerable, [link: false] ++ options)
    on_exit(fn -> Process.exit(producer, :kill) end)
    producer
  end

  test "a producer of an enumerable takes no more items than it is asked for" do
    test = self()
    producer = start(Stream.map(1..100, &tap(&1, fn item -> send(test, {:taken, item}) end)))
    tag = subscribe(producer)
    ask(producer, tag, 3)
    assert batches(producer, tag) == [[1, 2, 3]]
    assert_received {:taken, 3}
    refute_received {:taken, 4}
    ask(producer, tag, 2)
    assert batches(producer, tag) == [[4, 5]]
  end

  test "it ends with reason normal once the last item has been delivered, the buffered ones included" do
    producer = start(1..5, dispatcher: {Penstock.DemandDispatcher, max_demand: 10})
    monitor = Process.monitor(producer)
    [one, two] = [subscribe(producer), subscribe(producer)]
    ask(producer, one, 4)
    assert_receive {:"$gen_consumer", {^producer, ^one}, [1, 2, 3, 4]}
    ask(producer, two, 4)
    assert_receive {:"$gen_consumer", {^producer, ^two}, [5]}
    assert_receive {:DOWN, ^monitor, _, _, :normal}
  end

  test "an empty enumerable ends with the first demand" do
    producer = start([])
    monitor = Process.monitor(producer)
    ask(producer, subscribe(producer), 1)
    assert_receive {:DOWN, ^monitor, _, _, :normal}
  end

  test "a consumer gets every item in order and ends with the producer" do
    {:ok, consumer} = Penstock.ScriptedStage.start(:consumer, subscribe_to: [{start(1..1000), max_demand: 7}])

    monitor = Process.monitor(consumer)
    assert_receive {:DOWN, ^monitor, _, _, reason} when reason in [:normal, :noproc]
    assert collected(consumer) == Enum.to_list(1..1000)
  end

  defp collected(consumer) do
    receive do
      {:handle_events, ^consumer, events, _from} -> events ++ collected(consumer)
    after
      0 -> []
    end
  end

  test "on_cancel: :stop ends it with its last consumer, and leaves the enumerable" do
    test = self()
    items = Stream.resource(fn -> 1 end, &{[&1], &1 + 1}, fn next -> send(test, {:left, next}) end)
    producer = start(items, on_cancel: :stop)
    monitor = Process.monitor(producer)
    [one, two] = [subscribe(producer), subscribe(producer)]
    ask(producer, one, 3)
    assert batches(producer, one) == [[1, 2, 3]]
    cancel(producer, one, :normal)
    settle(producer)
    cancel(producer, two, :normal)
    assert_receive {:DOWN, ^monitor, _, _, :normal}
    assert_receive {:left, _next}
  end

  test "on_cancel: :continue serves whoever comes next" do
    producer = start(1..10)
    one = subscribe(producer)
    ask(producer, one, 2)
    assert batches(producer, one) == [[1, 2]]
    cancel(producer, one, :normal)
    two = subscribe(producer)
    ask(producer, two, 2)
    assert batches(producer, two) == [[3, 4]]
  end

  test "demand: :accumulate holds it back until it is told to go on" do
    producer = start(1..10, demand: :accumulate)
    tag = subscribe(producer)
    ask(producer, tag, 2)
    assert batches(producer, tag) == []
    Stage.demand(producer, :forward)
    assert batches(producer, tag) == [[1, 2]]
  end

  test "it is linked unless told otherwise, and takes start options" do
    {:ok, linked} = Stage.from_enumerable(1..3, name: :"an enumerable under a name")
    assert Process.whereis(:"an enumerable under a name") == linked
    {:links, links} = Process.info(self(), :links)
    assert linked in links
    {:links, links} = Process.info(start(1..3), :links)
    assert links == []
    GenServer.stop(linked)
  end

  test "wrong options are named" do
    assert {:error, {:bad_opts, message}} = Stage.from_enumerable([], link: false, on_cancel: :sleep)
    assert message =~ ":on_cancel"
    assert message =~ ":sleep"
    assert_raise ArgumentError, ~r/:link.*:maybe/, fn -> Stage.from_enumerable([], link: :maybe) end
    assert_raise ArgumentError, ~r/:stacktrace.*:here/, fn -> Stage.from_enumerable([], stacktrace: :here) end
  end

  test "a message that nobody expects is logged with the place where the enumerable comes from" do
    producer = start(1..3)

    log =
      capture_log(fn ->
        send(producer, :surprise)
        settle(producer)
      end)

    assert log =~ ":surprise"
    assert log =~ "from_enumerable_test.exs"
  end
end
