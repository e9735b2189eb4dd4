defmodule Penstock.Stage.StreamTest do
  use ExUnit.Case, async: true

  import Penstock.StageWire

  alias Penstock.{ScriptedStage, Stage}

  @moduletag :capture_log

  defp counter(options \\ []) do
    count = fn n, script ->
      next = Map.get(script, :next, 1)
      {:noreply, Enum.to_list(next..(next + n - 1)), Map.put(script, :next, next + n)}
    end

    {:ok, pid} = ScriptedStage.start(:producer, options, %{handle_demand: count})
    on_exit(fn -> Process.exit(pid, :kill) end)
    pid
  end

  defp mailbox do
    {:messages, messages} = Process.info(self(), :messages)

    for message <- messages,
        elem(message, 0) not in [:handle_demand, :handle_subscribe, :handle_cancel],
        do: message
  end

  test "a stream yields a producer's events in order, cancels when it ends and leaves no message behind" do
    producer = counter()
    assert Stage.stream([{producer, max_demand: 10}]) |> Enum.take(35) == Enum.to_list(1..35)
    assert_receive {:handle_cancel, ^producer, {:cancel, :normal}, _from}
    assert mailbox() == []
  end

  test "it asks for max_demand, and for more each time a batch has been used up" do
    producer = counter()
    Stage.stream([{producer, max_demand: 10, min_demand: 4}]) |> Enum.take(7)
    assert_received {:handle_demand, ^producer, 10}
    assert_received {:handle_demand, ^producer, 6}
    refute_received {:handle_demand, ^producer, _}
  end

  test "subscription options reach the producer, and the tag is a tuple" do
    producer = counter()
    Stage.stream([{producer, max_demand: 2, flavour: :mint}]) |> Enum.take(1)
    me = self()
    assert_received {:handle_subscribe, ^producer, :consumer, options, {^me, {key, ref}}}
    assert options[:flavour] == :mint
    assert is_reference(key) and is_reference(ref)
  end

  test "several producers flow into one stream, each in its own order" do
    {:ok, evens} = Stage.from_enumerable(Stream.map(1..50, &(&1 * 2)), link: false, demand: :accumulate)
    {:ok, odds} = Stage.from_enumerable(Stream.map(1..50, &(&1 * 2 - 1)), link: false, demand: :accumulate)
    producers = for producer <- [evens, odds], do: {producer, max_demand: 5, cancel: :transient}
    events = Stage.stream(producers) |> Enum.to_list()
    assert Enum.sort(events) == Enum.to_list(1..100)
    assert Enum.filter(events, &(rem(&1, 2) == 0)) == Enum.map(1..50, &(&1 * 2))
    assert mailbox() == []
  end

  test "it ends when a transient or temporary producer ends, and exits when a permanent one does" do
    for cancel <- [:transient, :temporary] do
      {:ok, producer} = Stage.from_enumerable(1..10, link: false)
      assert Stage.stream([{producer, cancel: cancel}]) |> Enum.to_list() == Enum.to_list(1..10)
    end

    {:ok, producer} = Stage.from_enumerable(1..10, link: false)
    assert {:normal, _} = catch_exit(Stage.stream([producer]) |> Enum.to_list())
    assert mailbox() == []
  end

  test "a transient one exits when its producer fails, a temporary one ends" do
    for {cancel, exits?} <- [transient: true, temporary: false] do
      producer = counter()

      killing =
        Stage.stream([{producer, max_demand: 2, cancel: cancel}])
        |> Stream.each(fn
          1 -> Process.exit(producer, :kill)
          _ -> :ok
        end)

      if exits?,
        do: assert({:killed, _} = catch_exit(Enum.to_list(killing))),
        else: assert([1 | _] = Enum.to_list(killing))

      assert mailbox() == []
    end
  end

  test "a producer that is missing ends a temporary subscription only" do
    assert Stage.stream([{:"nobody there", cancel: :temporary}]) |> Enum.to_list() == []
    present = counter()
    assert {:noproc, _} = catch_exit(Stage.stream([present, :"nobody there"]) |> Enum.to_list())
    settle(present)
    refute_received {:handle_subscribe, ^present, _, _, _}
    assert mailbox() == []
  end

  test "a stream that raises in the middle cancels as well" do
    producer = counter()

    stream =
      Stage.stream([{producer, max_demand: 4}])
      |> Stream.map(fn
        3 -> raise "three"
        n -> n
      end)

    assert_raise RuntimeError, "three", fn -> Enum.to_list(stream) end
    assert_receive {:handle_cancel, ^producer, {:cancel, :normal}, _from}
    assert mailbox() == []
  end

  test "producers that accumulate are let go once all are subscribed to, or as told" do
    producer = counter(demand: :accumulate)
    assert Stage.stream([producer]) |> Enum.take(2) == [1, 2]
    assert Stage.demand(producer) == :forward

    held = counter(demand: :accumulate)

    {:ok, middle} =
      ScriptedStage.start(:producer_consumer, [subscribe_to: [held]], %{
        handle_events: fn events, _from, script -> {:noreply, events, script} end
      })

    assert Stage.stream([middle], producers: [held]) |> Enum.take(2) == [1, 2]
    assert Stage.demand(held) == :forward
  end

  test "the process of a stream can be subscribed to another producer on the way" do
    [one, two] = [counter(), counter()]
    me = self()

    stream =
      Stage.stream([{one, max_demand: 2}])
      |> Stream.each(fn n -> if n == 1, do: Stage.async_subscribe(me, to: two, max_demand: 2) end)

    assert length(Enum.take(stream, 30)) == 30
    assert_received {:handle_subscribe, ^two, :consumer, _options, _from}
    for producer <- [one, two], do: assert_receive({:handle_cancel, ^producer, {:cancel, :normal}, _})
    assert mailbox() == []
  end

  test "the end of the enumerating process ends the subscription" do
    producer = counter()

    {enumerating, monitor} =
      spawn_monitor(fn -> Stage.stream([producer]) |> Enum.each(fn _ -> exit(:enough) end) end)

    assert_receive {:DOWN, ^monitor, _, ^enumerating, :enough}
    assert_receive {:handle_cancel, ^producer, _reason, {^enumerating, _tag}}
  end

  test "wrong options are named before anything is subscribed to" do
    assert_raise ArgumentError, ~r/:max_demand/, fn -> Stage.stream([{self(), max_demand: 0}]) end
    assert_raise ArgumentError, ~r/:demand.*:hold/, fn -> Stage.stream([], demand: :hold) end

    for producers <- [self(), [self() | self()], [self(), "name"], [nil]] do
      assert_raise ArgumentError,
                   "expected :producers to be a list of producers, got: #{inspect(producers)}",
                   fn -> Stage.stream([], producers: producers) end
    end

    assert_raise ArgumentError, ~r/list of subscriptions/, fn -> Stage.stream(:producer) end
  end
end
