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
end
