# Catching up with a stream: LinearSubscription beside a plain tonic and prost loop, and beside an h2 loop that throws all
# away, on one server.

Code.require_file("support.exs", __DIR__)

defmodule CatchUp do
  @sizes [{"100", 100, 200_000}, {"1k", 1_000, 200_000}, {"10k", 10_000, 50_000}]
  # The log of all streams, and these as one; what is read over TLS.
  @all {100, 200_000}
  @streams ["bench-1", "bench-2", "bench-3", "bench-4"]
  @tls {1_000, 100_000}

  def main(arguments) do
    {options, [], []} =
      OptionParser.parse(arguments, strict: [quick: :boolean, connection: :string, stream: :string])

    # --quick: a third of the rounds and half of the events
    {runs, share} = if options[:quick], do: {3, 2}, else: {9, 1}
    Logger.configure(level: :warning)
    uri = options[:connection] || Bench.start_server()
    {:ok, store} = Penstock.EventStore.start_link(connection_string: uri)
    prefix = options[:stream] || "bench"

    sizes =
      for {name, size, count} <- @sizes,
          do: %{
            name: name,
            uri: uri,
            stream: "#{prefix}-#{name}",
            size: size,
            count: div(count, share),
            ca: nil
          }

    for source <- sizes, do: Bench.fill(store, source.stream, source.count, source.size)
    # of a server that others use, neither the log nor the certificate is known
    more = if options[:connection], do: [], else: all(hd(sizes), share) ++ [tls(share)]
    # a server just started is slower until it has warmed up, and so is a VM
    for source <- sizes ++ more, kind <- [beside(source), :json], do: run(kind, source)

    for pid <- Process.list(), do: :erlang.garbage_collect(pid)
    {idle, _} = Bench.memory()
    results = Map.new(sizes, &measure(&1, runs, [:plain, :raw, :json]))
    more = for source <- more, do: {measure(source, runs, [beside(source), :raw]), beside(source)}

    calm = for {name, size, count} <- @sizes, do: {"#{prefix}-calm-#{name}", div(count, 10 * share), size}

    long =
      for _ <- 1..runs,
          stream <- calm,
          json <- [:raw, :decode],
          ms <- long_schedules(store, uri, stream, json),
          do: ms

    report(results, more, idle, long)
  end

  # A server of its own, whose log holds nothing else.
  defp all(one, share) do
    {{size, count}, uri} = {@all, Bench.start_server()}
    count = div(count, share)
    {:ok, store} = Penstock.EventStore.start_link(connection_string: uri)
    for stream <- @streams, do: Bench.fill(store, stream, div(count, length(@streams)), size)
    all = %{name: "all_100", uri: uri, stream: :all, size: size, count: count, ca: nil}
    [all, Map.merge(all, %{name: "merged_100", stream: @streams, one: one})]
  end

  defp tls(share) do
    {{size, count}, {uri, ca}} = {@tls, Bench.start_tls_server()}
    count = div(count, share)
    {:ok, store} = Penstock.EventStore.start_link(connection_string: uri)
    Bench.fill(store, "bench", count, size)
    %{name: "tls_1k", uri: uri, stream: "bench", size: size, count: count, ca: ca}
  end

  # Alternating, so that what else the machine does hits all of them.
  defp measure(%{name: name, count: count} = source, runs, kinds) do
    kinds = if name == "100", do: kinds ++ [:one, :floor], else: kinds

    rounds =
      for _ <- 1..runs do
        round = for kind <- kinds, do: {kind, run(kind, source)}

        IO.puts(
          "#{name}: " <>
            for({kind, run} <- round, into: "", do: "#{kind} #{speed(run)}/s #{div(run.cpu, count)} ns cpu  ")
        )

        Map.new(round)
      end

    {name, rounds}
  end

  # What it is compared with: several streams with one of as many events, all else with the plain loop.
  defp beside(%{one: _}), do: :single
  defp beside(_source), do: :plain

  defp run(:plain, source), do: plain(source)
  defp run(:single, %{one: one}), do: read(one, :raw, 1000)
  defp run(:raw, source), do: read(source, :raw, 1000)
  defp run(:json, source), do: read(source, :decode, 1000)
  defp run(:one, source), do: read(source, :raw, 1)
  defp run(:floor, source), do: h2_floor(source)

  defp speed(%{ns: ns, count: count}), do: round(count * 1.0e9 / ns)

  defp plain(%{count: count} = source) do
    ["events", events | times] = Bench.example("plain_read", arguments(source) ++ List.wrap(source.ca))
    ^count = String.to_integer(events)
    timed(times, count)
  end

  # What HTTP/2 alone costs: the floor under any gRPC client.
  defp h2_floor(source) do
    ["bytes", _bytes | times] = Bench.example("h2_floor", arguments(source))
    timed(times, source.count)
  end

  defp arguments(%{uri: uri, stream: stream, count: count}),
    do: [Bench.address(uri), if(stream == :all, do: "$all", else: stream), "#{count}"]

  defp timed(["ns", ns, "cpu_ns", cpu], count),
    do: %{count: count, ns: String.to_integer(ns), cpu: String.to_integer(cpu), peak: 0}

  defp read(%{uri: uri, stream: stream, count: count}, json, max_demand) do
    Bench.forget_peak()
    {cpu, began} = {Bench.cpu(), System.monotonic_time(:nanosecond)}
    {:ok, producer} = Bench.subscribe(uri, stream, json: json)
    of = if is_binary(stream), do: :stream, else: :all
    {:ok, consumer} = Bench.Consumer.start_link({self(), producer, max_demand, count}, of)
    receive do: ({:all, ^count} -> :ok)
    ns = System.monotonic_time(:nanosecond) - began
    cpu = Bench.cpu() - cpu
    {_, peak} = Bench.memory()
    for pid <- [consumer, producer], do: GenServer.stop(pid)
    %{count: count, ns: ns, cpu: cpu, peak: peak}
  end

  # A stream that is ready as a whole is taken while the server rests: else the system's own scheduling of the cores'
  # threads would show as the producer's. The monitor sees every process that ran for a millisecond or more.
  defp long_schedules(store, uri, {stream, count, size}, json) do
    Bench.fill(store, stream, count, size)
    options = [json: json, buffer_size: 2 * count, buffer_bytes: 100_000_000]
    {:ok, producer} = Bench.subscribe(uri, stream, options)
    await_ready(producer, count)
    :erlang.system_monitor(self(), long_schedule: 1)
    {:ok, consumer} = Bench.Consumer.start_link({self(), producer, 1000, count})
    receive do: ({:all, ^count} -> :ok)
    :erlang.system_monitor(:undefined)
    for pid <- [consumer, producer], do: GenServer.stop(pid)
    collect(producer)
  end

  defp await_ready(producer, count) do
    if Penstock.LinearSubscription.info(producer).ready_events < count do
      Process.sleep(10)
      await_ready(producer, count)
    end
  end

  defp collect(producer) do
    receive do
      {:monitor, ^producer, :long_schedule, info} -> [info[:timeout] | collect(producer)]
      {:monitor, _, :long_schedule, _} -> collect(producer)
    after
      0 -> []
    end
  end

  defp report(results, more, idle, long) do
    for {name, _, _} <- @sizes, do: Bench.figure("raw_#{name}", ratio(results[name], :plain, :raw, :ns))
    for {name, _, _} <- @sizes, do: Bench.figure("json_#{name}", ratio(results[name], :plain, :json, :ns))
    for {{name, rounds}, beside} <- more, do: Bench.figure(name, ratio(rounds, beside, :raw, :ns))
    Bench.figure("raw_100_demand1", ratio(results["100"], :plain, :one, :ns))
    Bench.figure("events_per_s_100", round(Bench.median(Enum.map(results["100"], &speed(&1.raw)))))
    for name <- ["100", "1k"], do: Bench.figure("cpu_#{name}", ratio(results[name], :raw, :plain, :cpu))
    Bench.figure("floor_100", ratio(results["100"], :raw, :floor, :cpu))
    all = Enum.concat(results, for({measured, _} <- more, do: measured))
    peaks = for {_, rounds} <- all, round <- rounds, run <- Map.values(round), do: run.peak
    Bench.figure("peak_mb", (Enum.max(peaks) - idle) / 1024)
    Bench.figure("long_schedules", length(long))
    Bench.figure("longest_schedule_ms", Enum.max([0 | long]))
  end

  # One ratio a round, as both were measured beside one another; then the median.
  defp ratio(rounds, above, below, key) do
    Bench.median(for round <- rounds, do: round[above][key] / max(round[below][key], 1))
  end
end

CatchUp.main(System.argv())
