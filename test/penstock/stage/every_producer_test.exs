defmodule Penstock.Stage.EveryProducerTest do
  # Every function of Penstock.Stage, with each kind of producer: a stage, and a subscription to a stream, which plays one
  # as long as the core can deal its events. What else may come to them is in every_message_test.exs.
  use ExUnit.Case, async: true

  import Penstock.EveryProducer
  import Penstock.StageWire

  alias Penstock.{Stage, Store, Telemetry}

  @moduletag :capture_log

  # What a test of this file is about, so that no function is forgotten.
  @tried [
    info: "info",
    pause: "pause",
    resume: "pause",
    demand: "demand",
    ask: "ask",
    cancel: "cancel",
    sync_subscribe: "subscribe",
    async_subscribe: "subscribe",
    sync_resubscribe: "resubscribe",
    async_resubscribe: "resubscribe",
    sync_info: "messages",
    async_info: "messages",
    call: "messages",
    cast: "messages",
    estimate_buffered_count: "estimate_buffered_count",
    stream: "stream",
    stop: "stop"
  ]

  # These make a stage or answer its callers: there is nothing that a producer does about them.
  @makers [:start, :start_link, :from_enumerable, :reply]

  setup_all do
    Store.start()
  end

  setup %{kind: kind} = context do
    %{producer: start(kind, context), kind: kind}
  end

  # What comes under this very subscription when so much is asked for.
  defp asked(consumer, from, count) do
    Stage.cast(consumer, {:ask, from, count})
    given(consumer, from, count)
  end

  defp given(_consumer, _from, 0), do: []

  defp given(consumer, from, count) do
    assert_receive {:handle_events, ^consumer, events, ^from}, 5000
    numbers(events) ++ given(consumer, from, count - length(events))
  end

  @tag kind: :stage
  test "no function of Penstock.Stage is missing here" do
    functions = for {name, _arity} <- Stage.__info__(:functions), name != :child_spec, do: name
    assert Enum.uniq(functions) -- (Keyword.keys(@tried) ++ @makers) == []
  end

  for kind <- Penstock.EveryProducer.kinds() do
    describe "a #{kind}:" do
      @describetag kind: kind

      test "info tells what it has, who waits, and for how much", %{producer: producer, kind: kind} do
        [one, two] = [subscribe(producer), subscribe(producer)]
        me = self()
        info = Stage.info(producer)

        assert %{pid: ^producer, type: :producer, mode: :forward, paused: false, demand: 0, producers: []} =
                 info

        assert %{held: 0, waiting: 0} = info
        assert is_atom(info.module) and is_integer(info.buffered)
        assert Enum.sort(for consumer <- info.consumers, do: consumer.tag) == Enum.sort([one, two])
        ask(producer, one, 103)
        assert come(producer, one, 100) == Enum.to_list(0..99)
        ask(producer, two, 5)

        assert %{demand: 8, consumers: consumers} = Stage.info(producer)

        assert Enum.sort_by(consumers, & &1.demand) == [
                 %{pid: me, tag: one, demand: 3, asked_while_paused: 0},
                 %{pid: me, tag: two, demand: 5, asked_while_paused: 0}
               ]

        assert Map.keys(info) == Map.keys(Stage.info(start(:stage, %{}))), "of a #{kind}"
        assert Stage.info(producer, 1000).pid == producer
      end

      test "Telemetry.poll returns the same", %{producer: producer} do
        tag = subscribe(producer)
        ask(producer, tag, 3)
        assert come(producer, tag, 3) == [0, 1, 2]
        assert Telemetry.poll(producer) == Stage.info(producer)
      end

      test "pause holds all that it is asked for, and resume lets it go, in order", %{producer: producer} do
        [tag, gone] = [subscribe(producer), subscribe(producer)]
        ask(producer, tag, 2)
        assert come(producer, tag, 2) == [0, 1]
        assert Stage.pause(producer) == :ok
        assert Stage.pause(producer, 1000) == :ok
        ask(producer, tag, 2)
        ask(producer, tag, 1)
        ask(producer, gone, 50)
        cancel(producer, gone, :normal)
        late = subscribe(producer)
        ask(producer, late, 1)
        ask(producer, :nobody, 1)
        assert none(producer, tag) == []
        assert %{paused: true, demand: 0, consumers: consumers} = Stage.info(producer)
        assert Enum.sort(for consumer <- consumers, do: consumer.asked_while_paused) == [1, 3]
        assert_receive {:"$gen_consumer", {^producer, :nobody}, {:cancel, :unknown_subscription}}
        assert Stage.resume(producer) == :ok
        assert Stage.resume(producer, 1000) == :ok
        assert Enum.sort(come(producer, tag, 3) ++ come(producer, late, 1)) == [2, 3, 4, 5]
        assert none(producer, gone) == []
        assert %{paused: false, demand: 0} = Stage.info(producer)
      end

      test "demand accumulates, also through a pause", %{producer: producer} do
        assert Stage.demand(producer) == :forward
        assert Stage.demand(producer, :accumulate) == :ok
        assert Stage.demand(producer) == :accumulate
        tag = subscribe(producer)
        :ok = Stage.pause(producer)
        ask(producer, tag, 2)
        :ok = Stage.resume(producer)
        assert Stage.demand(producer) == :accumulate
        :ok = Stage.pause(producer)
        assert Stage.demand(producer, :forward) == :ok
        assert Stage.demand(producer) == :forward
        assert none(producer, tag) == []
        :ok = Stage.resume(producer)
        assert come(producer, tag, 2) == [0, 1]
      end

      test "ask asks, and 0 is nothing", %{producer: producer} do
        tag = subscribe(producer)
        assert Stage.ask({producer, tag}, 0) == :ok
        assert Stage.ask({producer, tag}, 2) == :ok
        assert Stage.ask({producer, tag}, 1, [:noconnect]) == :ok
        assert come(producer, tag, 3) == [0, 1, 2]
      end

      test "cancel ends a subscription and is confirmed", %{producer: producer} do
        tag = subscribe(producer)
        assert Stage.cancel({producer, tag}, :enough) == :ok
        assert_receive {:"$gen_consumer", {^producer, ^tag}, {:cancel, :enough}}
        ask(producer, tag, 1)
        assert_receive {:"$gen_consumer", {^producer, ^tag}, {:cancel, :unknown_subscription}}
        assert Stage.info(producer).consumers == []
      end

      test "a subscription under a tag that is taken is refused", %{producer: producer} do
        tag = subscribe(producer)
        subscribe(producer, tag)
        assert_receive {:"$gen_consumer", {^producer, ^tag}, {:cancel, :duplicated_subscription}}
        assert [_] = Stage.info(producer).consumers
      end

      test "consumers subscribe to it, and subscribe anew", %{producer: producer} do
        consumer = consumer(on_demand())
        assert {:ok, tag} = Stage.sync_subscribe(consumer, to: producer, cancel: :temporary)
        assert asked(consumer, {producer, tag}, 10) == Enum.to_list(0..9)
        assert {:ok, again} = Stage.sync_resubscribe(consumer, tag, :again, to: producer, cancel: :temporary)
        assert_receive {:handle_cancel, ^consumer, {:cancel, :again}, {^producer, ^tag}}
        assert again != tag
        assert asked(consumer, {producer, again}, 5) == Enum.to_list(10..14)

        other = consumer(on_demand())
        assert Stage.async_subscribe(other, to: producer, cancel: :temporary) == :ok
        assert_receive {:handle_subscribe, ^other, :producer, _options, {^producer, tag}}
        assert asked(other, {producer, tag}, 2) == [15, 16]
        assert Stage.async_resubscribe(other, tag, :again, to: producer, cancel: :temporary) == :ok
        assert_receive {:handle_cancel, ^other, {:cancel, :again}, {^producer, ^tag}}
        assert_receive {:handle_subscribe, ^other, :producer, _options, {^producer, anew}}
        assert anew != tag
        assert asked(other, {producer, anew}, 3) == [17, 18, 19]

        # what was subscribed before is gone with its tag
        assert Enum.sort(for one <- Stage.info(producer).consumers, do: {one.pid, one.tag}) ==
                 Enum.sort([{consumer, again}, {other, anew}])

        assert asked(consumer, {producer, again}, 1) == [20]
      end

      test "it subscribes to nobody, which is said", %{producer: producer} do
        assert Stage.sync_subscribe(producer, to: self()) == {:error, :not_a_consumer}
        assert Stage.sync_resubscribe(producer, :tag, :why, to: self()) == {:error, :not_a_consumer}
        assert Stage.async_subscribe(producer, to: self()) == :ok
        assert Stage.async_resubscribe(producer, :tag, :why, to: self()) == :ok
        works(producer)
      end

      test "messages, calls and casts are answered or logged", %{producer: producer} do
        assert Stage.sync_info(producer, :hello) == :ok
        assert Stage.async_info(producer, :hello) == :ok
        assert Stage.cast(producer, :hello) == :ok
        answer = Stage.call(producer, :hello)
        assert answer in [:ok, {:error, :unknown_call}]
        works(producer)
      end

      test "estimate_buffered_count counts what waits", %{producer: producer} do
        assert Stage.estimate_buffered_count(producer) == Stage.info(producer).buffered
        works(producer)
      end

      test "stream takes what it needs", %{producer: producer} do
        taken = [{producer, max_demand: 10}] |> Stage.stream() |> Enum.take(20)
        assert numbers(taken) == Enum.to_list(0..19)
        works(producer)
      end

      test "stop ends it, with its reason", %{producer: producer} do
        monitor = Process.monitor(producer)
        tag = subscribe(producer)
        settle(producer)
        assert Stage.stop(producer, :shutdown) == :ok
        assert_receive {:DOWN, ^monitor, :process, ^producer, :shutdown}
        refute_received {:"$gen_consumer", {^producer, ^tag}, _}
      end
    end
  end
end
