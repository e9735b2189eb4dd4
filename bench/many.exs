# Many subscriptions at a time beside one of as many events, and what they leave behind.

Code.require_file("support.exs", __DIR__)

defmodule Many do
  @subscriptions 200
  @max_demand 1000

  def main(arguments) do
    {options, [], []} = OptionParser.parse(arguments, strict: [quick: :boolean])
    {rounds, events} = if options[:quick], do: {3, 5_000}, else: {9, 10_000}
    Logger.configure(level: :warning)
    uri = Bench.start_server()

    fill = fn stream, count ->
      Bench.example("plain_append", [Bench.address(uri), "fill", stream, "#{count}"])
    end

    many = for n <- 1..@subscriptions, do: {"many-#{n}", events}
    one = [{"one", @subscriptions * events}]
    for {stream, count} <- one ++ many, do: fill.(stream, count)
    read(uri, one)
    start = left_at_last(%{threads: 0, sockets: 0})
    # the first time memory grows to what so many need
    read(uri, many)
    before = left_at_last(start)

    results =
      for _ <- 1..rounds do
        {one, many} = {read(uri, one), read(uri, many)}

        IO.puts(
          for {name, run} <- [one: one, many: many], into: "" do
            total = @subscriptions * events
            "#{name} #{round(total * 1.0e9 / run.ns)}/s #{div(run.cpu, total)} ns cpu  "
          end <> "at the end of many: #{inspect(many.at_end)}"
        )

        {one, many}
      end

    later = left_at_last(start)
    Bench.figure("many_ratio", Bench.median(for {one, many} <- results, do: one.ns / many.ns))
    Bench.figure("many_cpu", Bench.median(for {one, many} <- results, do: many.cpu / one.cpu))
    for what <- [:threads, :sockets], do: Bench.figure("many_left_#{what}", later[what] - start[what])
    Bench.figure("many_left_mb", (later.kb - before.kb) / 1024)
  end

  defp read(uri, streams) do
    {cpu, began} = {Bench.cpu(), System.monotonic_time(:nanosecond)}

    pairs =
      for {stream, count} <- streams do
        {:ok, producer} = Bench.subscribe(uri, stream, json: :raw)
        {:ok, consumer} = Bench.Consumer.start_link({self(), producer, @max_demand, count})
        {consumer, producer}
      end

    for {_, count} <- streams, do: receive(do: ({:all, ^count} -> :ok))
    ns = System.monotonic_time(:nanosecond) - began
    run = %{ns: ns, cpu: Bench.cpu() - cpu, at_end: left()}
    for {consumer, producer} <- pairs, pid <- [consumer, producer], do: GenServer.stop(pid)
    run
  end

  # What a connection leaves is let go of by its own task: it is waited for, for a while.
  defp left_at_last(before, tries \\ 100) do
    for pid <- Process.list(), do: :erlang.garbage_collect(pid)
    left = left()

    if tries == 0 or (left.sockets <= before.sockets and left.threads <= before.threads) do
      left
    else
      Process.sleep(10)
      left_at_last(before, tries - 1)
    end
  end

  defp left do
    {kb, _} = Bench.memory()
    %{threads: length(File.ls!("/proc/self/task")), sockets: sockets(), kb: kb}
  end

  defp sockets do
    Enum.count(File.ls!("/proc/self/fd"), fn fd ->
      match?({:ok, "socket:" <> _}, File.read_link("/proc/self/fd/#{fd}"))
    end)
  end
end

Many.main(System.argv())
