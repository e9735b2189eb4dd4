defmodule Penstock.Stage.OptionsTest do
  use ExUnit.Case, async: true

  alias Penstock.{ScriptedStage, Stage}

  @moduletag :capture_log

  defp refusal(type, options) do
    assert {:error, {:bad_opts, message}} = ScriptedStage.start(type, options)
    message
  end

  test "a wrong option ends the start with what it takes and what it got" do
    for {type, options, message} <- [
          {:producer, [unknown: 1], "unknown options [unknown: 1]"},
          {:producer, [subscribe_to: []], "unknown options [subscribe_to: []]"},
          {:consumer, [buffer_size: 1], "unknown options [buffer_size: 1]"},
          {:producer_consumer, [demand: :forward], "unknown options [demand: :forward]"},
          {:producer, [buffer_size: -1], "expected :buffer_size to be equal to or greater than 0, got: -1"},
          {:producer, [buffer_size: "9"], "expected :buffer_size to be an integer, got: \"9\""},
          {:producer, [buffer_keep: :all], "expected :buffer_keep to be one of [:first, :last], got: :all"},
          {:producer, [demand: :no], "expected :demand to be one of [:accumulate, :forward], got: :no"},
          {:producer, [dispatcher: 1], "expected :dispatcher to be an atom or a {atom, list}, got: 1"},
          {:producer, [dispatcher: {Penstock.DemandDispatcher, [1]}],
           "expected :dispatcher to be an atom or a {atom, list}, got: {Penstock.DemandDispatcher, [1]}"},
          {:producer, [dispatcher: {Penstock.DemandDispatcher, max_demand: 0}],
           "expected :max_demand to be equal to or greater than 1, got: 0"},
          {:producer, [dispatcher: {Penstock.DemandDispatcher, speed: 3}], "unknown options [speed: 3]"},
          {:consumer, [subscribe_to: :me], "expected :subscribe_to to be a list, got: :me"},
          {:consumer, [subscribe_to: [{self(), max_demand: 0}]],
           "expected :max_demand to be equal to or greater than 1, got: 0"},
          {:consumer, [1], "expected options to be a keyword list, got: [1]"}
        ] do
      assert refusal(type, options) == message
    end
  end

  test "a dispatcher that is none is named" do
    assert refusal(:producer, dispatcher: {Enum, []}) =~ "got: {Enum, []}"
    assert refusal(:producer, dispatcher: NoSuchModule) =~ "got: {NoSuchModule, []}"
  end

  test "the dispatcher of GenStage by its name is the one here" do
    for dispatcher <- [
          GenStage.DemandDispatcher,
          {GenStage.DemandDispatcher, max_demand: 5},
          Penstock.DemandDispatcher
        ] do
      assert {:ok, producer} = ScriptedStage.start(:producer, dispatcher: dispatcher, buffer_size: :infinity)
      Stage.stop(producer)
    end
  end

  test "a subscription with a wrong option is refused, and the consumer lives on" do
    {:ok, consumer} = ScriptedStage.start(:consumer)
    {:ok, producer} = ScriptedStage.start(:producer)

    for {options, message} <- [
          {[max_demand: 0], "expected :max_demand to be equal to or greater than 1, got: 0"},
          {[max_demand: :many], "expected :max_demand to be an integer, got: :many"},
          {[max_demand: 5, min_demand: 5], "expected :min_demand to be equal to or less than 4, got: 5"},
          {[min_demand: -1], "expected :min_demand to be equal to or greater than 0, got: -1"},
          {[cancel: :never],
           "expected :cancel to be one of [:temporary, :transient, :permanent], got: :never"}
        ] do
      assert Stage.sync_subscribe(consumer, [to: producer] ++ options) == {:error, {:bad_opts, message}}
    end

    assert {:ok, _tag} = Stage.sync_subscribe(consumer, to: producer)
  end

  test "a producer that is none is refused" do
    {:ok, consumer} = ScriptedStage.start(:consumer)

    for to <- ["name", 5, nil, {:a, :b, :c}] do
      assert {:error, {:bad_opts, message}} = Stage.call(consumer, {:"$subscribe", nil, to, []})
      assert message =~ "expected a producer to be a pid or the name of a process, got: #{inspect(to)}"
    end
  end

  test "a stage cannot subscribe to itself" do
    {:ok, stage} = ScriptedStage.start(:producer_consumer)
    assert {:error, {:bad_opts, message}} = Stage.sync_subscribe(stage, to: stage)
    assert message =~ "the stage itself"
  end

  test "subscribing without saying to whom raises" do
    for subscribe <- [
          &Stage.sync_subscribe(self(), &1),
          &Stage.async_subscribe(self(), &1),
          &Stage.sync_resubscribe(self(), :tag, :why, &1),
          &Stage.async_resubscribe(self(), :tag, :why, &1)
        ] do
      assert_raise ArgumentError, ~r/expected :to argument/, fn -> subscribe.(max_demand: 1) end
    end
  end

  # Larger than the native core counts.
  @huge 2 ** 70

  test "numbers may be as large as anybody likes" do
    for options <- [
          [buffer_size: @huge],
          [dispatcher: {Penstock.DemandDispatcher, max_demand: @huge}],
          [dispatcher: {Penstock.DemandDispatcher, rate: {@huge, 1000}}],
          [dispatcher: {Penstock.PartitionDispatcher, partitions: 1, consumers_per_partition: @huge}]
        ] do
      {:ok, producer} = ScriptedStage.start(:producer, options)
      {:ok, consumer} = ScriptedStage.start(:consumer)
      subscription = [to: producer, max_demand: @huge, min_demand: @huge - 1, partition: 0]
      {:ok, _tag} = Stage.sync_subscribe(consumer, subscription)
      assert_receive {:handle_demand, ^producer, n} when n > 0
      Stage.call(producer, {:emit, [1]})
      assert_receive {:handle_events, ^consumer, [1], _from}
      assert [%{max_demand: @huge}] = Stage.info(consumer).producers
    end
  end

  test "a consumer that lags may keep as many events as it likes, and holds nobody up" do
    {:ok, producer} = ScriptedStage.start(:producer, dispatcher: Penstock.BroadcastDispatcher)
    slow = Penstock.StageWire.subscribe(producer, make_ref(), nil, lag: {:drop_oldest, @huge})
    {:ok, consumer} = ScriptedStage.start(:consumer)
    {:ok, _tag} = Stage.sync_subscribe(consumer, to: producer)
    Stage.call(producer, {:emit, [1]})
    assert_receive {:handle_events, ^consumer, [1], _from}
    Penstock.StageWire.ask(producer, slow, @huge)
    assert Penstock.StageWire.batches(producer, slow) == [[1]]
  end

  test "what has a limit is refused beyond it by name" do
    assert refusal(:producer, dispatcher: {Penstock.DemandDispatcher, rate: {1, @huge}}) =~
             "expected :rate to be a tuple of two positive integers, events and milliseconds (at most 4294967295), got: "

    assert refusal(:producer, dispatcher: {Penstock.PartitionDispatcher, partitions: 10_000_001}) =~
             "expected :partitions to be at most 10000000, got: 10000001"
  end

  test "options of GenStage's dispatchers that mean something are taken, and others are named" do
    {:ok, producer} =
      ScriptedStage.start(:producer,
        dispatcher: {Penstock.DemandDispatcher, shuffle_demands_on_first_dispatch: nil, max_demand: nil}
      )

    Stage.stop(producer)

    for {dispatcher, options, message} <- [
          {Penstock.DemandDispatcher, [shuffle_demands_on_first_dispatch: 1],
           "expected :shuffle_demands_on_first_dispatch to be one of [true, false, nil], got: 1"},
          {Penstock.BroadcastDispatcher, [unheard_of: 1], "unknown options [unheard_of: 1]"},
          {Penstock.PartitionDispatcher, [partitions: 2, shuffle: 1], "unknown options [shuffle: 1]"},
          {Penstock.PartitionDispatcher, [partitions: [5, 9]],
           "expected :hash, for :partitions are not 0 to n - 1 but [5, 9], got: none"}
        ] do
      assert refusal(:producer, dispatcher: {dispatcher, options}) == message
    end
  end

  test "subscription options are any list, as a dispatcher of one's own may want them" do
    {:ok, producer} = ScriptedStage.start(:producer)
    {:ok, consumer} = ScriptedStage.start(:consumer)
    options = [:local, {"weight", 3}, {:filter, 1, 2}, {:max_demand, 7}]
    assert {:ok, tag} = GenServer.call(consumer, {:"$subscribe", nil, producer, options})
    assert_receive {:handle_subscribe, ^producer, :consumer, ^options, {^consumer, ^tag}}
    assert_receive {:handle_demand, ^producer, 7}

    for options <- [%{}, nil, [1 | 2], :none] do
      assert {:error, {:bad_opts, "expected subscription options to be a list, got: " <> _}} =
               GenServer.call(consumer, {:"$subscribe", nil, producer, options})

      tag = Penstock.StageWire.subscribe(producer, make_ref(), nil, options)
      assert_receive {:"$gen_consumer", {^producer, ^tag}, {:cancel, {:bad_opts, _message}}}
    end
  end
end
