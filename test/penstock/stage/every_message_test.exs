defmodule Penstock.Stage.EveryMessageTest do
  # Every message that may come to a producer, and every option of a subscription, with each kind of producer.
  use ExUnit.Case, async: true

  import Penstock.EveryProducer
  import Penstock.StageWire

  alias Penstock.{LinearSubscription, Stage, Store}

  @moduletag :capture_log

  setup_all do
    Store.start()
  end

  setup %{kind: kind} = context do
    %{producer: start(kind, context), kind: kind}
  end

  for kind <- Penstock.EveryProducer.kinds() do
    describe "a #{kind}:" do
      @describetag kind: kind

      test "subscriptions whose options are none, or wrong, are refused to the consumer", %{
        producer: producer
      } do
        for options <- [:none, [1 | 2], [filter: :paid], [filter: {:match, []}]] do
          tag = subscribe(producer, make_ref(), nil, options)
          assert_receive {:"$gen_consumer", {^producer, ^tag}, {:cancel, {:bad_opts, message}}}
          assert message =~ inspect(options) or message =~ inspect(options[:filter])
          ask(producer, tag, 1)
          assert_receive {:"$gen_consumer", {^producer, ^tag}, {:cancel, :unknown_subscription}}
        end

        assert Stage.info(producer).consumers == []
        works(producer)
      end

      test "options that are nobody's are the consumer's own", %{producer: producer} do
        tag = subscribe(producer, make_ref(), nil, interval: 5000, max_demand: 3, filter: nil)
        ask(producer, tag, 1)
        assert come(producer, tag, 1) == [0]
      end

      test "messages of another protocol are of no consequence", %{producer: producer} do
        tag = subscribe(producer)

        for from <- [{self(), make_ref()}, {self(), tag}],
            content <- [
              {:subscribe, [], []},
              {:subscribe, :undefined, []},
              {:subscribe, {1, 2, 3}, []},
              {:subscribe, nil},
              {:ask, 0},
              {:ask, -1},
              {:ask, -0x1_0000_0000_0000_0000},
              {:ask, 1.0},
              {:ask, :all},
              {:ask, nil},
              {:ask, 1, 2},
              {:cancel},
              :hello,
              []
            ] do
          send(producer, {:"$gen_producer", from, content})
        end

        for from <- [
              :nobody,
              nil,
              self(),
              {self()},
              {:a, tag},
              {self(), tag, 1},
              {nil, nil},
              [self() | tag],
              %{}
            ],
            content <- [{:ask, 1}, {:subscribe, nil, []}, {:cancel, :why}, :hello] do
          send(producer, {:"$gen_producer", from, content})
        end

        for message <- [
              {:"$gen_producer", {self(), tag}},
              :"$gen_producer",
              {:"$gen_consumer", {self(), tag}, [1]},
              {:"$gen_consumer", {self(), tag}, {:cancel, :why}},
              {:"$gen_consumer", :nobody, :hello},
              {:"$gen_cast", {:"$demand", :sideways}},
              {:"$gen_cast", {:"$demand", 5}},
              {:"$gen_cast", :hello},
              {:DOWN, make_ref(), :process, self(), :gone},
              {make_ref(), :late_reply},
              {:EXIT, self(), :normal},
              :timeout,
              [1 | 2]
            ] do
          send(producer, message)
        end

        works(producer)
        ask(producer, tag, 1)
        assert [_] = come(producer, tag, 1)
      end

      test "asks beyond all counting are counted as far as it goes", %{producer: producer, kind: kind} do
        tag = subscribe(producer)

        for n <- [
              0x1_0000_0000_0000_0000,
              Bitwise.bsl(1, 200),
              4_611_686_018_427_387_903,
              0xFFFF_FFFF_FFFF_FFFF
            ],
            _ <- 1..3 do
          ask(producer, tag, n)
        end

        assert come(producer, tag, 100) == Enum.to_list(0..99)
        # a rate lets no more be waited for than an interval has left
        most = if kind == :hosted, do: 1_000_000 - 101, else: 4_000_000_000_000_000_000
        assert Stage.info(producer).demand > most
      end
    end
  end

  describe "a subscription only:" do
    @describetag kind: :subscription

    for {options, parts} <- [
          {[filter: :paid], [":filter", "a function of one argument or {:match, map}", ":paid"]},
          {[lag: :cancel], [":lag", "BroadcastDispatcher"]},
          {[selector: &Map.keys/1], [":selector", "BroadcastDispatcher"]},
          {[partition: 0], [":partition", "PartitionDispatcher"]},
          {[partition: :eu, cancel: :transient], [":partition"]},
          {[fliter: {:match, %{}}], [":fliter", "did you mean :filter?"]},
          {[max_deman: 1], [":max_deman", "did you mean :max_demand?"]},
          {[max_demand: 1, partiton: 1], [":partiton", "did you mean :partition?"]}
        ] do
      test "#{inspect(options)} is refused to the consumer", %{producer: producer} do
        consumer = consumer()
        monitor = Process.monitor(consumer)
        {:ok, tag} = Stage.sync_subscribe(consumer, [to: producer] ++ unquote(Macro.escape(options)))
        assert_receive {:handle_cancel, ^consumer, {:cancel, {:bad_opts, message}}, {^producer, ^tag}}
        for part <- unquote(parts), do: assert(message =~ part)

        unless unquote(options[:cancel] == :transient),
          do: assert_receive({:DOWN, ^monitor, :process, ^consumer, {:bad_opts, ^message}})

        refute_received {:handle_events, ^consumer, _, _}
        works(producer)
      end
    end

    test "Flow's numbers of subscriptions are taken", %{producer: producer} do
      tag = subscribe(producer, make_ref(), nil, partition: 1, cancel: :transient, max_demand: 10)
      ask(producer, tag, 1)
      assert come(producer, tag, 1) == [0]
    end

    test "an unknown call is answered and logged", %{producer: producer} do
      assert ExUnit.CaptureLog.capture_log(fn ->
               assert Stage.call(producer, {:what, :is, :this}) == {:error, :unknown_call}
               Stage.cast(producer, {:what, :else})
               assert %{} = LinearSubscription.info(producer)
             end) =~ ~r/unexpected call: {:what, :is, :this}.*unexpected cast: {:what, :else}/s
    end
  end
end
