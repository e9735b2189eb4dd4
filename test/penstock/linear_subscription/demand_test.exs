defmodule Penstock.LinearSubscription.DemandTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog
  import Penstock.Store

  alias Penstock.{LinearSubscription, Stage, StageWire}

  @moduletag :capture_log

  setup do
    start()
  end

  defmodule Slow do
    use Penstock.Stage

    def start_link(options), do: Penstock.Stage.start_link(__MODULE__, options)

    @impl true
    def init({producer, test}),
      do: {:consumer, %{test: test, next: 0, slow?: true}, subscribe_to: [{producer, max_demand: 100}]}

    @impl true
    def handle_events(events, _from, state) do
      # a consumer that takes its time is what is tested
      for _ <- events, state.slow?, do: Process.sleep(1)

      next =
        Enum.reduce(events, state.next, fn %{metadata: %{stream_revision: revision}}, revision ->
          revision + 1
        end)

      if rem(next, 10_000) < length(events), do: send(state.test, {:handled, next})
      {:noreply, [], %{state | next: next}}
    end

    @impl true
    def handle_cast(:hurry, state), do: {:noreply, [], %{state | slow?: false}}
  end

  @tag timeout: 180_000
  test "a consumer that is slow while 200,000 events are appended gets each once and in order, in bounded memory",
       context do
    producer = subscribe(context.store, "s", buffer_size: 2000)
    consumer = start_supervised!({Slow, {producer, self()}})
    await_info(producer, &(&1.state == :subscribed))
    fill(context.store, "s", 200_000)
    info = LinearSubscription.info(producer)
    assert info.revision < 199_000 and info.ready_events in 1..2500 and info.ready_bytes < 1_000_000
    for process <- [producer, consumer], do: assert(held_by(process) < 2_000_000)
    assert {:message_queue_len, length} = Process.info(consumer, :message_queue_len)
    assert length <= 100
    Stage.cast(consumer, :hurry)
    assert_receive {:handled, 200_000}, 120_000
    assert %{ready_events: 0, reconnects: 0, stale_events: 0} = LinearSubscription.info(producer)
  end

  # Its heap and mailbox, and what its binaries keep.
  defp held_by(process) do
    {:memory, memory} = Process.info(process, :memory)
    {:binary, binaries} = Process.info(process, :binary)
    memory + Enum.sum(for {_, size, _} <- binaries, do: size)
  end

  test "what is read ahead is bounded by events and by bytes", %{store: store} do
    fill(store, "s", 5000)
    few = subscribe(store, "s", buffer_size: 300)
    assert await_info(few, &(&1.ready_events >= 300)).ready_events <= 300 + 250
    small = subscribe(store, "s", buffer_bytes: 20_000)
    assert await_info(small, &(&1.ready_bytes >= 20_000)).ready_bytes <= 20_000 + 70_000

    for producer <- [few, small],
        do: assert(producer |> take(consume(producer, 5000), 5000) |> revisions() == Enum.to_list(0..4999))
  end

  test "no consumer is given more than it asked for", %{store: store} do
    fill(store, "s", 1000)
    producer = subscribe(store, "s")
    tag = consume(producer, 7)
    assert length(take(producer, tag, 7)) == 7
    assert await_info(producer, &(&1.ready_events == 993)).demand == 0
    assert StageWire.batches(producer, tag) == []
  end

  test "the order holds for a consumer whose message queue is off its heap", %{store: store} do
    fill(store, "s", 20_000)
    producer = subscribe(store, "s")
    test = self()

    spawn_link(fn ->
      Process.flag(:message_queue_data, :off_heap)
      tag = consume(producer, 20_000)
      send(test, {:all, producer |> take(tag, 20_000) |> revisions()})
    end)

    assert_receive {:all, revisions}, 20_000
    assert revisions == Enum.to_list(0..19_999)
  end

  test "several consumers share the events, none lost and none given twice", %{store: store} do
    fill(store, "s", 3000)
    producer = subscribe(store, "s")
    tags = for _ <- 1..3, do: consume(producer, 1000)
    taken = for tag <- tags, do: producer |> take(tag, 1000) |> revisions()
    assert Enum.all?(taken, &(&1 == Enum.sort(&1)))
    assert taken |> Enum.concat() |> Enum.sort() == Enum.to_list(0..2999)
  end

  test "a consumer that cancels is told so and takes its demand with it", %{store: store} do
    producer = subscribe(store, "s")
    tag = consume(producer, 10)
    StageWire.cancel(producer, tag, :enough)
    assert_receive {:"$gen_consumer", {^producer, ^tag}, {:cancel, :enough}}
    assert LinearSubscription.info(producer).demand == 0
  end

  test "a consumer that dies takes its demand with it", %{store: store} do
    producer = subscribe(store, "s")
    consumer = spawn(fn -> consume(producer, 10) && Process.sleep(:infinity) end)
    await_info(producer, &(&1.demand == 10))
    Process.exit(consumer, :kill)
    assert await_info(producer, &(&1.demand == 0)).demand == 0
  end

  test "an ask under an unknown tag is refused, and so is a tag that is taken", %{store: store} do
    producer = subscribe(store, "s")
    unknown = StageWire.ask(producer, make_ref(), 1)
    assert_receive {:"$gen_consumer", {^producer, ^unknown}, {:cancel, :unknown_subscription}}
    tag = StageWire.subscribe(producer)
    StageWire.subscribe(producer, tag)
    assert_receive {:"$gen_consumer", {^producer, ^tag}, {:cancel, :duplicated_subscription}}
  end

  test "an ask beyond the dispatcher's max_demand is honoured, and logged", %{store: store} do
    fill(store, "s", 20)
    producer = subscribe(store, "s", dispatcher: {Penstock.DemandDispatcher, max_demand: 5})

    log =
      capture_log(fn ->
        tag = consume(producer, 20)
        assert producer |> take(tag, 20) |> revisions() == Enum.to_list(0..19)
        # the events are on their way before the line is
        StageWire.settle(producer)
      end)

    assert log =~ "expects a maximum demand of 5"
  end

  test "a tag may be any term", %{store: store} do
    fill(store, "s", 1)
    producer = subscribe(store, "s")
    tag = StageWire.subscribe(producer, {make_ref(), ["any", %{term: 1}]})
    StageWire.ask(producer, tag, 1)
    assert [_] = take(producer, tag, 1)
  end

  test "a new subscription replaces the one it names", %{store: store} do
    producer = subscribe(store, "s")
    old = StageWire.subscribe(producer)
    new = StageWire.subscribe(producer, make_ref(), {old, :replaced})
    assert_receive {:"$gen_consumer", {^producer, ^old}, {:cancel, :replaced}}
    StageWire.ask(producer, new, 1)
    assert await_info(producer, &(&1.demand == 1))
  end

  test "the functions of GenStage for producers work on it", %{store: store} do
    fill(store, "s", 3)
    producer = subscribe(store, "s")
    await_info(producer, &(&1.ready_events == 3))
    assert Stage.estimate_buffered_count(producer) == 3
    assert Stage.sync_subscribe(producer, to: self()) == {:error, :not_a_consumer}
  end
end
