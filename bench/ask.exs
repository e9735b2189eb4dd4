# From an ask to its event, at max_demand 1, beside a plain GenServer round trip.

Code.require_file("support.exs", __DIR__)

defmodule Ask.Echo do
  use GenServer
  def init(state), do: {:ok, state}
  def handle_call(message, _from, state), do: {:reply, message, state}
end

defmodule Ask do
  def main(arguments) do
    {options, [], []} = OptionParser.parse(arguments, strict: [quick: :boolean])
    {rounds, samples} = if options[:quick], do: {5, 5_000}, else: {9, 20_000}
    Logger.configure(level: :warning)
    uri = Bench.start_server()
    {:ok, store} = Penstock.EventStore.start_link(connection_string: uri)
    Bench.fill(store, "asked", (rounds + 2) * samples, 100)
    {:ok, echo} = GenServer.start_link(Ask.Echo, nil)
    tag = make_ref()
    producer = subscribe(uri, tag)
    call = fn -> GenServer.call(echo, :hello) end
    ask = fn -> ask(producer, tag) end
    for measured <- [call, ask], do: sample(measured, samples)

    results =
      for _ <- 1..rounds do
        # the ratio is of answers from what is ready, not of waiting for a socket
        wait_until_ready(producer, samples)
        {sample(call, samples), sample(ask, samples)}
      end

    for {name, share} <- [{"p50", 0.5}, {"p99", 0.99}] do
      pairs =
        for {calls, asks} <- results, do: {Bench.percentile(calls, share), Bench.percentile(asks, share)}

      {calls, asks} = Enum.unzip(pairs)
      IO.puts("#{name}: call #{Bench.median(calls)} ns, ask #{Bench.median(asks)} ns")
      Bench.figure("ask_#{name}_ratio", Bench.median(for {call, ask} <- pairs, do: ask / call))
    end
  end

  defp subscribe(uri, tag) do
    settings = [
      connection: uri,
      stream_name: "asked",
      restore_stream_position!: fn -> :start end,
      json: :raw,
      buffer_size: 50_000,
      buffer_bytes: 50_000_000
    ]

    {:ok, producer} = Penstock.LinearSubscription.start_link(settings)
    send(producer, {:"$gen_producer", {self(), tag}, {:subscribe, nil, []}})
    producer
  end

  defp ask(producer, tag) do
    send(producer, {:"$gen_producer", {self(), tag}, {:ask, 1}})
    receive do: ({:"$gen_consumer", {^producer, ^tag}, [_event]} -> :ok)
  end

  defp wait_until_ready(producer, samples) do
    unless Penstock.LinearSubscription.info(producer).ready_events >= samples,
      do: wait_until_ready(producer, samples)
  end

  defp sample(measured, samples) do
    for _ <- 1..samples do
      began = System.monotonic_time(:nanosecond)
      measured.()
      System.monotonic_time(:nanosecond) - began
    end
  end
end

Ask.main(System.argv())
