{:ok, _} = Application.ensure_all_started(:telemetry)
Application.put_env(:broadway, :config_storage, :persistent_term)
ExUnit.start()

defmodule Beside.Counter do
  use Penstock.Stage

  def init(options) when is_list(options), do: {:producer, {options[:from], & &1}}
  def init({from, event}), do: {:producer, {from, event}}

  def handle_demand(n, {from, event}),
    do: {:noreply, Enum.map(from..(from + n - 1), event), {from + n, event}}
end

defmodule Beside.Messages do
  use Penstock.Stage

  def init(options), do: {:producer, {options[:test], 1}}

  def handle_demand(n, {test, from}) do
    events =
      for data <- from..(from + n - 1),
          do: %Broadway.Message{data: data, acknowledger: {__MODULE__, :a_reference, test}}

    {:noreply, events, {test, from + n}}
  end

  def ack(:a_reference, successful, failed) do
    for %{acknowledger: {_module, _reference, test}, data: data} <- successful, do: send(test, {:ack, data})
    for %{acknowledger: {_module, _reference, test}, data: data} <- failed, do: send(test, {:failed, data})
  end
end

defmodule Beside.Pipeline do
  use Broadway

  def start(test) do
    Broadway.start_link(__MODULE__,
      name: __MODULE__,
      context: test,
      producer: [module: {Beside.Messages, test: test}, concurrency: 1],
      processors: [default: [concurrency: 2, max_demand: 10]],
      batchers: [default: [batch_size: 5, concurrency: 2]]
    )
  end

  def handle_message(_processor, message, _test) do
    if rem(message.data, 10) == 0, do: Broadway.Message.failed(message, "a tenth fails"), else: message
  end

  def handle_batch(:default, messages, _info, _test), do: messages
end

defmodule Beside.Collector do
  use Penstock.Stage

  def init(test), do: {:consumer, test}

  def handle_events(events, _from, test) do
    send(test, {:collected, events})
    {:noreply, [], test}
  end
end

defmodule BesideTest do
  use ExUnit.Case, async: true

  alias Penstock.{Event, EventStore, LinearSubscription, Stage}

  test "a flow partitions and reduces what a stage produces" do
    {:ok, producer} = Stage.from_enumerable(1..10_000, demand: :accumulate)

    counts =
      Flow.from_stages([producer], stages: 2, max_demand: 100)
      |> Flow.partition(stages: 2, key: &rem(&1, 10))
      |> Flow.reduce(fn -> %{} end, fn n, counts -> Map.update(counts, rem(n, 10), 1, &(&1 + 1)) end)
      |> Enum.to_list()

    assert Enum.sort(counts) == for(key <- 0..9, do: {key, 1000})
  end

  test "a flow of an endless stage ends when enough has been taken" do
    {:ok, producer} = Stage.start_link(Beside.Counter, {0, &(&1 * 2)})
    taken = Flow.from_stages([producer], stages: 1, max_demand: 50) |> Flow.map(&(&1 + 1)) |> Enum.take(100)
    assert taken == Enum.to_list(1..199//2)
  end

  test "a flow feeds our consumers" do
    {:ok, producer} = Stage.from_enumerable(1..1000, demand: :accumulate)
    {:ok, consumer} = Stage.start_link(Beside.Collector, self())

    {:ok, _flow} =
      Flow.from_stages([producer], stages: 1)
      |> Flow.map(&(&1 * 3))
      |> Flow.into_stages([{consumer, cancel: :temporary}])

    assert collect(1000) == Enum.to_list(3..3000//3)
  end

  test "a flow reads a stream to its end, each event once and in order" do
    {:ok, server} = EventStore.Server.start_link(port: 0, data_dir: :memory)
    {:ok, store} = EventStore.start_link(connection_string: EventStore.Server.connection_string(server))
    {:ok, _} = EventStore.append(store, "numbers", for(n <- 1..500, do: Event.new("number", %{"n" => n})))

    {:ok, producer} =
      LinearSubscription.start_link(
        connection: store,
        stream_name: "numbers",
        restore_stream_position!: fn -> :start end
      )

    read =
      Flow.from_stages([producer], stages: 1, max_demand: 50) |> Flow.map(& &1.body["n"]) |> Enum.take(500)

    assert read == Enum.to_list(1..500)
  end

  test "Broadway processes, batches and acknowledges each message once" do
    {:ok, pipeline} = Beside.Pipeline.start(self())
    acks = for n <- 1..500, do: n |> answer() |> then(&{n, &1})
    assert Enum.filter(acks, &match?({_n, :failed}, &1)) == for(n <- 10..500//10, do: {n, :failed})
    :ok = Broadway.stop(pipeline)
    {:messages, later} = Process.info(self(), :messages)
    assert Enum.filter(later, fn {_kind, n} -> n <= 500 end) == []
  end

  defp answer(n) do
    receive do
      {:ack, ^n} -> :ok
      {:failed, ^n} -> :failed
    after
      5000 -> flunk("nothing of message #{n}")
    end
  end

  defp collect(0), do: []

  defp collect(n) do
    assert_receive {:collected, events}, 5000
    events ++ collect(n - length(events))
  end
end
