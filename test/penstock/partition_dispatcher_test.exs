defmodule Penstock.PartitionDispatcherTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog
  import Penstock.StageWire

  alias Penstock.{PartitionDispatcher, ScriptedStage, Stage}

  @moduletag :capture_log

  defp start(type, options, script \\ %{}) do
    {:ok, pid} = ScriptedStage.start(type, options, script)
    on_exit(fn -> Process.exit(pid, :kill) end)
    pid
  end

  # The event names its partition.
  defp named({partition, _} = event), do: {event, partition}
  defp named(:none), do: :none

  defp producer(options, script \\ %{}),
    do: start(:producer, [dispatcher: {PartitionDispatcher, options}], script)

  defp lettered(options \\ []), do: producer([partitions: [:a, :b], hash: &named/1] ++ options)
  defp emit(producer, events), do: :ok = Stage.call(producer, {:emit, Enum.to_list(events)})
  defp join(producer, partition), do: subscribe(producer, make_ref(), nil, partition: partition)
  defp got(producer, tag), do: producer |> batches(tag) |> Enum.concat()

  defp cancelled(producer, tag) do
    assert_receive {:"$gen_consumer", {^producer, ^tag}, {:cancel, reason}}
    reason
  end

  test "each event goes to the consumer of its partition, in order" do
    producer = lettered()
    [a, b] = for name <- [:a, :b], do: ask(producer, join(producer, name), 4)
    assert_receive {:handle_demand, ^producer, 4}
    assert_receive {:handle_demand, ^producer, 4}
    emit(producer, [{:a, 1}, {:b, 1}, {:a, 2}, {:b, 2}, {:a, 3}])
    assert got(producer, a) == [{:a, 1}, {:a, 2}, {:a, 3}]
    assert got(producer, b) == [{:b, 1}, {:b, 2}]
  end

  test "by default an event's partition is its phash2, whatever the number of partitions" do
    for count <- [1, 2, 3, 4, 7, 8, 17, 64] do
      producer = producer(partitions: count)
      tags = for index <- 0..(count - 1), do: ask(producer, join(producer, index), 1000)
      events = Enum.map(1..500, &{&1, "event #{&1}"})
      emit(producer, events)

      for {tag, index} <- Enum.with_index(tags),
          do: assert(got(producer, tag) == Enum.filter(events, &(:erlang.phash2(&1, count) == index)))
    end
  end

  test "a single partition serves its consumers in turn, and what nobody waits for waits in order" do
    producer = producer(partitions: 1, consumers_per_partition: 2)
    [a, b] = for n <- [40, 30], do: ask(producer, join(producer, 0), n)
    emit(producer, 1..10)
    emit(producer, 11..110)
    emit(producer, [111])
    delivered = got(producer, a) ++ got(producer, b)
    assert Enum.sort(delivered) == Enum.to_list(1..70)
    ask(producer, a, 100)
    assert got(producer, a) == Enum.to_list(71..111)
  end

  test "partitions may be named by any enumerable, and many of them by a hash of one's own" do
    for partitions <- [5..9, MapSet.new([5, 6, 7, 8, 9]), 5..50] do
      producer = producer(partitions: partitions, hash: &{&1 * 10, &1})
      tag = ask(producer, join(producer, 7), 2)
      emit(producer, [7])
      assert got(producer, tag) == [70]
    end
  end

  test "events beyond a partition's demand wait for its own consumer, and the producer is asked for no more" do
    producer = lettered()
    [a, b] = for name <- [:a, :b], do: ask(producer, join(producer, name), 2)
    emit(producer, for(n <- 1..4, do: {:a, n}))
    assert got(producer, a) == [{:a, 1}, {:a, 2}]
    assert got(producer, b) == []
    assert Stage.estimate_buffered_count(producer) == 0
    for _ <- 1..2, do: assert_receive({:handle_demand, ^producer, 2})
    ask(producer, a, 1)
    assert got(producer, a) == [{:a, 3}]
    assert_receive {:handle_demand, ^producer, 1}
  end

  test "what no demand is left for waits in the buffer and is told apart later" do
    producer = lettered()
    emit(producer, [{:a, 1}, {:b, 1}, {:a, 2}])
    assert Stage.estimate_buffered_count(producer) == 3
    [a, b] = for name <- [:a, :b], do: join(producer, name)
    ask(producer, b, 3)
    assert got(producer, b) == [{:b, 1}]
    ask(producer, a, 2)
    assert got(producer, a) == [{:a, 1}, {:a, 2}]
  end

  test "an event without a partition is replaced by another one" do
    producer = lettered()
    tag = ask(producer, join(producer, :a), 3)
    assert_receive {:handle_demand, ^producer, 3}
    emit(producer, [:none, {:a, 1}, :none])
    assert got(producer, tag) == [{:a, 1}]
    assert_receive {:handle_demand, ^producer, 2}
  end

  test "a second subscriber of a partition is refused, and nobody else notices" do
    producer = lettered()
    first = ask(producer, join(producer, :a), 5)
    second = join(producer, :a)
    assert cancelled(producer, second) == {:partition_taken, :a}
    assert_receive {:handle_cancel, ^producer, {:cancel, {:partition_taken, :a}}, _}
    emit(producer, [{:a, 1}])
    assert got(producer, first) == [{:a, 1}]
  end

  test "a partition is free again once its consumer has gone" do
    producer = lettered()
    first = join(producer, :a)
    cancel(producer, first, :enough)
    second = ask(producer, join(producer, :a), 1)
    emit(producer, [{:a, 1}])
    assert got(producer, second) == [{:a, 1}]
  end

  test "a dead consumer's partition is free before the producer knows of the death" do
    producer = lettered()
    test = self()

    {holder, monitor} =
      spawn_monitor(fn ->
        join(producer, :a)
        settle(producer)
        send(test, :joined)
        receive do: (:never -> :ok)
      end)

    assert_receive :joined
    :ok = :sys.suspend(producer)
    # Its subscription stands before the news of the death in the producer's mailbox.
    next = ask(producer, join(producer, :a), 1)
    Process.exit(holder, :kill)
    assert_receive {:DOWN, ^monitor, _, _, :killed}
    :ok = :sys.resume(producer)
    emit(producer, [{:a, 1}])
    assert got(producer, next) == [{:a, 1}]
    assert_receive {:handle_cancel, ^producer, {:down, :killed}, {^holder, _}}
  end

  test "a subscription whose filter has failed leaves its partition at once, although its consumer lives" do
    producer = lettered()
    fails = fn _event -> raise "no filter" end
    failing = ask(producer, subscribe(producer, make_ref(), nil, partition: :a, filter: fails), 5)
    settle(producer)
    :sys.suspend(producer)
    # The successor stands before what the producer tells itself of the failure.
    send(producer, {:emit, [{:a, 1}]})
    next = ask(producer, join(producer, :a), 5)
    send(producer, {:emit, [{:a, 2}]})
    :sys.resume(producer)
    assert cancelled(producer, failing) == {:filter_failed, %RuntimeError{message: "no filter"}}
    assert got(producer, next) == [{:a, 2}]
    assert [%{tag: ^next, demand: 4}] = Stage.info(producer).consumers
  end

  test "a queue stays when its consumer goes, and the demand left behind is not asked for twice" do
    producer = lettered()
    [a, b] = for name <- [:a, :b], do: ask(producer, join(producer, name), 3)
    for _ <- 1..2, do: assert_receive({:handle_demand, ^producer, 3})
    emit(producer, for(n <- 1..5, do: {:a, n}))
    assert got(producer, a) == [{:a, 1}, {:a, 2}, {:a, 3}]
    cancel(producer, a, :bye)
    heir = ask(producer, join(producer, :a), 2)
    assert got(producer, heir) == [{:a, 4}, {:a, 5}]
    cancel(producer, b, :bye)
    assert_receive {:handle_demand, ^producer, 2}
    ask(producer, heir, 3)
    settle(producer)
    refute_received {:handle_demand, _, _}
    ask(producer, heir, 1)
    assert_receive {:handle_demand, ^producer, 1}
  end

  test "several consumers share a partition when that is allowed" do
    producer = lettered(consumers_per_partition: 2)
    [first, second] = for n <- [2, 1], do: ask(producer, join(producer, :a), n)
    third = join(producer, :a)
    assert cancelled(producer, third) == {:partition_taken, :a}
    emit(producer, for(n <- 1..4, do: {:a, n}))
    assert got(producer, first) == [{:a, 1}, {:a, 2}]
    assert got(producer, second) == [{:a, 3}]
    # A queue of one serves whoever asks first, also when the other one is gone.
    cancel(producer, first, :bye)
    ask(producer, second, 1)
    emit(producer, [{:a, 5}])
    assert got(producer, second) == [{:a, 4}]
  end

  test "a subscription without a partition, or for one that there is not, is refused with the choice" do
    producer = lettered()

    for {options, got} <- [{[], "none"}, {[partition: :c], ":c"}, {[partition: nil], "none"}] do
      tag = subscribe(producer, make_ref(), nil, options)
      assert cancelled(producer, tag) == {:bad_opts, "expected :partition to be one of [:a, :b], got: #{got}"}
    end
  end

  test "a hash that returns nonsense ends the producer with what it returned" do
    for {returned, shown} <- [{:nonsense, ":nonsense"}, {{1, :c}, "{1, :c}"}] do
      producer = producer(partitions: [:a, :b], hash: fn _ -> returned end)
      monitor = Process.monitor(producer)
      ask(producer, join(producer, :a), 1)
      send(producer, {:emit, [1]})
      assert_receive {:DOWN, ^monitor, _, _, {%ArgumentError{message: message}, _}}
      assert message =~ "one of [:a, :b], got: #{shown} for the event 1"
    end
  end

  test "wrong options end the start with what they take" do
    for {options, message} <- [
          {[], "expected :partitions to be a positive integer or an enumerable of names, got: nil"},
          {[partitions: 0],
           "expected :partitions to be a positive integer or an enumerable of names, got: 0"},
          {[partitions: []], "expected :partitions not to be empty, got: []"},
          {[partitions: [1, 1]], "expected :partitions to have no name twice, got: [1, 1]"},
          {[partitions: [:a]], "expected :hash, for :partitions are not 0 to n - 1 but [:a], got: none"},
          {[partitions: 1..2], "expected :hash, for :partitions are not 0 to n - 1 but [1, 2], got: none"},
          {[partitions: 2, hash: :phash], "expected :hash to be a function of one argument, got: :phash"},
          {[partitions: 2, consumers_per_partition: 0],
           "expected :consumers_per_partition to be equal to or greater than 1, got: 0"},
          {[partitions: 2, consumer: 1], "unknown options [consumer: 1]"}
        ] do
      assert ScriptedStage.start(:producer, dispatcher: {PartitionDispatcher, options}) ==
               {:error, {:bad_opts, message}}
    end
  end

  test "however many share a partition, each gets what it asked for and the rest waits" do
    for options <- [[partitions: 1], [partitions: 2, hash: &{&1, 0}], [partitions: 50, hash: &{&1, 0}]] do
      producer = producer([consumers_per_partition: 400] ++ options)
      tags = for _ <- 1..400, do: ask(producer, join(producer, 0), 1)
      settle(producer)
      emit(producer, 1..410)
      assert tags |> Enum.map(&got(producer, &1)) |> Enum.concat() |> Enum.sort() == Enum.to_list(1..400)
      ask(producer, hd(tags), 20)
      assert got(producer, hd(tags)) == Enum.to_list(401..410)
    end
  end

  test "however many messages wait between events, each comes in its place" do
    producer = lettered()
    [a, b] = for {name, n} <- [a: 1, b: 400], do: ask(producer, join(producer, name), n)
    settle(producer)
    emit(producer, [{:a, 0}])

    for n <- 1..400 do
      emit(producer, [{:a, n}])
      :ok = Stage.sync_info(producer, n)
    end

    settle(producer)
    refute_received {:handle_info, _, _}
    ask(producer, a, 400)
    assert got(producer, a) == for(n <- 0..400, do: {:a, n})
    for n <- 1..400, do: assert_receive({:handle_info, ^producer, ^n})
    assert got(producer, b) == []
  end

  test "a message comes behind what was buffered and queued before it, in order" do
    producer = lettered()
    [a, b] = for name <- [:a, :b], do: ask(producer, join(producer, name), 1)
    emit(producer, [{:a, 1}, {:a, 2}])
    :ok = Stage.sync_info(producer, :behind_a)
    emit(producer, [{:a, 3}])
    :ok = Stage.sync_info(producer, :behind_buffer)
    settle(producer)
    refute_received {:handle_info, _, _}
    ask(producer, a, 1)
    assert_receive {:handle_info, ^producer, :behind_a}
    settle(producer)
    ask(producer, a, 1)
    assert_receive {:handle_info, ^producer, :behind_buffer}
    assert got(producer, a) == [{:a, 1}, {:a, 2}, {:a, 3}]
    assert got(producer, b) == []
  end

  test "consumers of partitions lose and double nothing while others come and go" do
    count = fn n, script ->
      next = Map.get(script, :next, 0)
      {:noreply, Enum.to_list(next..(next + n - 1)), Map.put(script, :next, next + n)}
    end

    producer =
      start(:producer, [dispatcher: {PartitionDispatcher, partitions: 3}, demand: :accumulate], %{
        handle_demand: count
      })

    consumers =
      for partition <- 0..2,
          do: start(:consumer, subscribe_to: [{producer, partition: partition, max_demand: 7}])

    log = capture_log(fn -> assert cancelled(producer, join(producer, 1)) == {:partition_taken, 1} end)
    assert log =~ "partition_taken"
    Stage.demand(producer, :forward)

    for {consumer, partition} <- Enum.with_index(consumers) do
      got = collect(consumer, 100)
      expected = Stream.filter(Stream.iterate(0, &(&1 + 1)), &(:erlang.phash2(&1, 3) == partition))
      assert got == Enum.take(expected, length(got))
    end
  end

  defp collect(_consumer, left) when left <= 0, do: []

  defp collect(consumer, left) do
    assert_receive {:handle_events, ^consumer, events, _from}
    events ++ collect(consumer, left - length(events))
  end

  test "GenStage's name means this dispatcher" do
    for name <- [GenStage.PartitionDispatcher, Stage.PartitionDispatcher] do
      stage = start(:producer, dispatcher: {name, partitions: 2})
      assert :sys.get_state(stage).output.dispatcher == PartitionDispatcher
    end
  end
end
