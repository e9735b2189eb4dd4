# The server beside UmaDB and SQLite: durable appends, reads, and a folder with many events.

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
        do: %{rounds: 3, ms: 500, reads: 9, opens: 3, events: 1_000_000, name: "1m"},
        else: %{rounds: 9, ms: 1_000, reads: 15, opens: 5, events: 10_000_000, name: "10m"}

    folder = Path.expand("../_build/bench_server", __DIR__)
    filled = Filled.make(folder, settings.events)
    for {clients, results} <- appends(Path.join(folder, "appends"), settings), do: report(clients, results)
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
        IO.puts("round #{round}: #{Peers.label(variant)}: #{ran.rate}/s")
        {clients, variant.of, Peers.label(variant), ran}
      end

    Peers.stop(peers)
    File.rm_rf!(folder)
    rounds |> Enum.group_by(&elem(&1, 0)) |> Enum.sort()
  end

  defp report(clients, results) do
    IO.puts("\n#{String.pad_trailing(clients_heading(clients), 64)} appends/s    p50 us    p99 us")
    rows = for {label, runs} <- in_order(results), do: {of(results, label), label, runs}

    for {_of, label, runs} <- rows do
      [rate, p50, p99] = for key <- [:rate, :p50, :p99], do: Bench.median(Enum.map(runs, & &1[key]))
      cells = for number <- [rate, p50 / 1000, p99 / 1000], do: String.pad_leading("#{round(number)}", 10)
      IO.puts("#{String.pad_trailing(label, 63)}#{cells}")
    end

    ours = best(for {:penstock, _, runs} <- rows, do: runs)
    theirs = best(for {of, _, runs} <- rows, of in [:umadb, :sqlite], do: runs)
    Bench.figure("append_#{clients}", Bench.median(Enum.zip_with(ours, theirs, &(&1.rate / &2.rate))))
  end

  defp clients_heading(1), do: "1 client"
  defp clients_heading(count), do: "#{count} clients"

  # Everyone is measured by the best way there is to use it.
  defp best(variants),
    do: Enum.max_by(variants, fn runs -> Bench.median(Enum.map(runs, & &1.rate)) end)

  defp in_order(results) do
    labels = results |> Enum.map(&elem(&1, 2)) |> Enum.uniq()
    for label <- labels, do: {label, for({_, _, ^label, ran} <- results, do: ran)}
  end

  defp of(results, label),
    do: Enum.find_value(results, fn {_, of, of_label, _} -> of_label == label and of end)

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
