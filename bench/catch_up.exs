# Catching up with a stream: LinearSubscription beside a plain tonic and prost loop, and beside an h2 loop that throws all
# away, on one server.

Code.require_file("support.exs", __DIR__)

defmodule CatchUp.Consumer do
  use Penstock.Stage

  def start_link(arguments), do: Penstock.Stage.start_link(__MODULE__, arguments)

  @impl true
  def init({parent, producer, max_demand, count}) do
    {:consumer, {parent, count, 0}, subscribe_to: [{producer, max_demand: max_demand}]}
  end

  @impl true
  def handle_events(events, _from, {parent, count, next}) do
    last = next
    next = check(events, next)
    if last < count and next >= count, do: send(parent, {:all, count})
    {:noreply, [], {parent, count, next}}
  end

  # A bench that loses, doubles or reorders an event measures nothing.
  defp check([%{metadata: %{stream_revision: next}} | events], next), do: check(events, next + 1)
  defp check([], next), do: next
end

defmodule CatchUp do
  @sizes [{"100", 100, 200_000}, {"1k", 1_000, 200_000}, {"10k", 10_000, 50_000}]

  def main(arguments) do
    {options, [], []} =
      OptionParser.parse(arguments, strict: [quick: :boolean, connection: :string, stream: :string])

    runs = if options[:quick], do: 3, else: 9
    Logger.configure(level: :warning)
    uri = options[:connection] || Bench.start_server()
    {:ok, store} = Penstock.EventStore.start_link(connection_string: uri)
    prefix = options[:stream] || "bench"
    sizes = for {name, size, count} <- @sizes, do: {name, "#{prefix}-#{name}", size, count}
    for {_, stream, size, count} <- sizes, do: Bench.fill(store, stream, count, size)
    # a server just started is slower until it has warmed up, and so is a VM
    for {_, stream, _, count} <- sizes,
        do: {plain(uri, stream, count), read(uri, stream, count, :decode, 1000)}

    for pid <- Process.list(), do: :erlang.garbage_collect(pid)
    {idle, _} = Bench.memory()
    results = Map.new(sizes, &measure(&1, uri, runs))

    calm = for {name, size, count} <- @sizes, do: {"#{prefix}-calm-#{name}", div(count, 10), size}

    long =
      for _ <- 1..runs,
          stream <- calm,
          json <- [:raw, :decode],
          ms <- long_schedules(store, uri, stream, json),
          do: ms

    report(results, idle, long)
  end

  # Alternating, so that what else the machine does hits all of them.
  defp measure({name, stream, _size, count}, uri, runs) do
    rounds =
      for _ <- 1..runs do
        plain = plain(uri, stream, count)
        raw = read(uri, stream, count, :raw, 1000)
        json = read(uri, stream, count, :decode, 1000)
        one = if name == "100", do: read(uri, stream, count, :raw, 1)
        floor = if name == "100", do: floor(uri, stream, count)
        round = %{plain: plain, raw: raw, json: json, one: one, floor: floor}

        IO.puts(
          "#{name}: " <>
            for(
              {kind, run} <- round,
              run,
              into: "",
              do: "#{kind} #{speed(run)}/s #{div(run.cpu, count)} ns cpu  "
            )
        )

        round
      end

    {name, rounds}
  end

  defp speed(%{ns: ns, count: count}), do: round(count * 1.0e9 / ns)

  defp plain(uri, stream, count) do
    ["events", events | times] = example("plain_read", uri, stream, count)
    ^count = String.to_integer(events)
    timed(times, count)
  end

  # What HTTP/2 alone costs: the floor under any gRPC client.
  defp floor(uri, stream, count) do
    ["bytes", _bytes | times] = example("h2_floor", uri, stream, count)
    timed(times, count)
  end

  defp example(name, uri, stream, count) do
    program = Bench.path("_build/native/release/examples/#{name}")
    {said, 0} = System.cmd(program, [Bench.address(uri), stream, "#{count}"])
    String.split(said)
  end

  defp timed(["ns", ns, "cpu_ns", cpu], count),
    do: %{count: count, ns: String.to_integer(ns), cpu: String.to_integer(cpu), peak: 0}

  defp read(uri, stream, count, json, max_demand) do
    Bench.forget_peak()
    {cpu, began} = {Bench.cpu(), System.monotonic_time(:nanosecond)}
    {:ok, producer} = start(uri, stream, json: json)
    {:ok, consumer} = CatchUp.Consumer.start_link({self(), producer, max_demand, count})
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
    {:ok, producer} = start(uri, stream, json: json, buffer_size: 2 * count, buffer_bytes: 100_000_000)
    await_ready(producer, count)
    :erlang.system_monitor(self(), long_schedule: 1)
    {:ok, consumer} = CatchUp.Consumer.start_link({self(), producer, 1000, count})
    receive do: ({:all, ^count} -> :ok)
    :erlang.system_monitor(:undefined)
    for pid <- [consumer, producer], do: GenServer.stop(pid)
    collect(producer)
  end

  defp start(uri, stream, options) do
    settings = [connection: uri, stream_name: stream, restore_stream_position!: fn -> :start end]
    Penstock.LinearSubscription.start_link(settings ++ options)
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

  defp report(results, idle, long) do
    for {name, _, _} <- @sizes, do: Bench.figure("raw_#{name}", ratio(results[name], :plain, :raw, :ns))
    for {name, _, _} <- @sizes, do: Bench.figure("json_#{name}", ratio(results[name], :plain, :json, :ns))
    Bench.figure("raw_100_demand1", ratio(results["100"], :plain, :one, :ns))
    Bench.figure("events_per_s_100", round(Bench.median(Enum.map(results["100"], &speed(&1.raw)))))
    for name <- ["100", "1k"], do: Bench.figure("cpu_#{name}", ratio(results[name], :raw, :plain, :cpu))
    Bench.figure("floor_100", ratio(results["100"], :raw, :floor, :cpu))
    peaks = for {_, rounds} <- results, round <- rounds, run <- Map.values(round), run, do: run.peak
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
