# The server beside UmaDB and SQLite: durable appends, reads, and a folder with many events.
#
# An append is one event of 100 B, and its client waits until it is durable before it sends the next one. The server and
# UmaDB are called over gRPC, SQLite writes in the client's own process. Everyone is measured in several ways, and the
# best of each counts. Where other programs use the processors, waiting for these outweighs waiting for the disk, and
# the appends of one client say little: see the disk's own row.

for file <- ~w(support.exs server_support/peers.exs server_support/filled.exs),
    do: Code.require_file(file, __DIR__)

defmodule ServerBench do
  alias ServerBench.{Filled, Peers}

  @plain_read "_build/native/release/examples/plain_read"
  @prebuilt "_build/native/release/examples/prebuilt_read"

  def main(arguments) do
    {options, [], []} = OptionParser.parse(arguments, strict: [quick: :boolean])

    settings =
      if options[:quick],
        do: %{rounds: 3, ms: 400, reads: 9, opens: 3, events: 1_000_000, name: "1m"},
        else: %{rounds: 9, ms: 1_000, reads: 15, opens: 5, events: 10_000_000, name: "10m"}

    folder = Path.expand("../_build/bench_server", __DIR__)
    filled = Filled.make(folder, settings.events)
    for {clients, rows} <- appends(Path.join(folder, "appends"), settings), do: report(clients, rows)
    opened(filled, settings)
  end

  # --- appends

  # All variants take turns, so that what else the machine does hits all of them.
  defp appends(folder, settings) do
    File.rm_rf!(folder)
    File.mkdir_p!(folder)
    peers = Peers.start(folder)
    for clients <- [1, 64], variant <- Peers.variants(peers, clients), do: Peers.run(variant, 200)

    rounds =
      for round <- 1..settings.rounds, clients <- [1, 64], variant <- Peers.variants(peers, clients) do
        ran = Peers.run(variant, settings.ms)
        IO.puts("round #{round}, #{heading(clients)}: #{variant.label}: #{ran.rate}/s")
        {clients, variant.label, ran}
      end

    Peers.stop(peers)
    File.rm_rf!(folder)

    for clients <- [1, 64] do
      rows =
        for %{of: of, label: label} <- Peers.variants(peers, clients) do
          %{of: of, label: label, runs: for({^clients, ^label, ran} <- rounds, do: ran)}
        end

      {clients, rows}
    end
  end

  defp report(clients, rows) do
    IO.puts("\n#{String.pad_trailing(heading(clients), 64)} appends/s    p50 us    p99 us")

    for %{label: label, runs: runs} <- rows do
      [rate, p50, p99] = for key <- [:rate, :p50, :p99], do: median(runs, key)
      cells = for number <- [rate, p50 / 1000, p99 / 1000], do: String.pad_leading("#{round(number)}", 10)
      IO.puts("#{String.pad_trailing(label, 63)}#{cells}")
    end

    ours = best(for %{of: :penstock} = row <- rows, do: row.runs)
    theirs = best(for %{of: of} = row <- rows, of in [:umadb, :sqlite], do: row.runs)
    Bench.figure("append_#{clients}", Bench.median(Enum.zip_with(ours, theirs, &(&1.rate / &2.rate))))
  end

  # Everyone is measured by the best way there is to use it.
  defp best(variants), do: Enum.max_by(variants, &median(&1, :rate))

  defp median(runs, key), do: Bench.median(for run <- runs, do: run[key])

  defp heading(1), do: "1 client"
  defp heading(clients), do: "#{clients} clients"

  # --- a folder with many events

  defp opened(filled, %{name: name} = settings) do
    clean = for _ <- 1..settings.opens, do: Filled.opening(filled, "TERM")
    killed = for _ <- 1..settings.opens, do: Filled.opening(filled, "KILL")
    Filled.forget_cache(filled)
    cold = Filled.opening(filled, "TERM")
    server = Filled.open(filled)
    before = Filled.memory(server)
    count = div(settings.events, 10)
    reads = reads(server.address, Filled.stream(), count, settings.reads)
    rss = Filled.memory(server)
    Bench.stop(server.port)

    IO.puts(
      "\n#{settings.events} events: open after an end, after a kill, with nothing in the system's cache:"
    )

    IO.puts("#{seconds(clean)}, #{seconds(killed)}, #{seconds([cold])} s")
    IO.puts("memory #{before} MB after opening, #{rss} MB after reading a stream of #{count}")
    Bench.figure("open_#{name}_s", Bench.median(clean))
    Bench.figure("open_#{name}_killed_s", Bench.median(killed))
    Bench.figure("open_#{name}_cold_s", cold)
    Bench.figure("rss_#{name}_mb", rss)
    ratios = for {ours, prebuilt} <- reads, do: prebuilt / ours
    {ours, prebuilt} = Enum.unzip(reads)

    IO.puts(
      "a plain loop reads #{speed(ours, count)}/s from the server, #{speed(prebuilt, count)}/s of prebuilt bytes"
    )

    Bench.figure("read_ratio", Bench.median(ratios))
  end

  defp seconds(times), do: :erlang.float_to_binary(Bench.median(times) * 1.0, decimals: 2)
  defp speed(times, count), do: round(count * 1.0e9 / Bench.median(times))

  # The same loop reads the same stream from both, in turns.
  defp reads(address, stream, count, rounds) do
    {port, "listening " <> prebuilt} = Bench.start(@prebuilt, [address, stream, "#{count}"])
    for address <- [address, prebuilt], do: read(address, stream, count)
    reads = for _ <- 1..rounds, do: {read(address, stream, count), read(prebuilt, stream, count)}
    Bench.stop(port)
    reads
  end

  defp read(address, stream, count) do
    {said, 0} = System.cmd(Bench.path(@plain_read), [address, stream, "#{count}"])
    ["events", events, "ns", ns, "cpu_ns", _] = String.split(said)
    ^count = String.to_integer(events)
    String.to_integer(ns)
  end
end

ServerBench.main(System.argv())
