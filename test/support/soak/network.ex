defmodule Penstock.Soak.Network do
  @moduledoc false
  # Writers and readers whose network fails them.

  import Penstock.Soak.Fault

  alias Penstock.{Error, EventStore}
  alias Penstock.EventStore.Server
  alias Penstock.Soak.{Dice, Ledger, Notebook, Proxy, Reader, ServerProcess, Wait, Writer}

  @peace 60_000

  def about,
    do: "appends, reads and subscriptions through a proxy that cuts, stalls, resets, drips and delays"

  def run(seed, folder) do
    Dice.take(seed, :network)
    port = server(Dice.pick([:memory, :disk, :process]), folder)
    proxy = start!(Proxy.start_link(port, seed))
    direct = start!(EventStore.start_link(connection_string: "esdb://127.0.0.1:#{port}?tls=false"))
    streams = for number <- 1..Dice.between(1, 2), do: "stream-#{number}"
    ledger = Ledger.new()
    history(direct, streams, ledger)

    uri = uri(Proxy.port(proxy))

    writers =
      for name <- 1..Dice.between(1, 3), do: Writer.start_link(name, store(uri), streams, ledger, seed)

    readers = for name <- 1..Dice.between(2, 5), do: reader(name, uri, Dice.pick(streams), seed)
    asker = asker(store(uri), streams, ledger, seed)
    # Not in one go: the schedule also takes what is linked to it.
    Process.sleep(Dice.between(1_000, 5_000))

    Proxy.calm(proxy)
    for process <- [asker | writers], do: Wait.finish(process, @peace, "a writer or an asker")
    judge(direct, streams, ledger, readers)
    {1, "#{Proxy.connections(proxy)} connections, #{Ledger.count(ledger)} appends"}
  end

  defp server(:process, folder) do
    {:ok, server} = ServerProcess.start(folder)
    server.port
  end

  defp server(:memory, _folder), do: Server.port(start!(Server.start_link(port: 0)))
  defp server(:disk, folder), do: Server.port(start!(Server.start_link(port: 0, data_dir: folder)))

  # Written before anybody reads: there is something to catch up on.
  defp history(store, streams, ledger) do
    for stream <- streams, batch <- 1..Dice.between(1, 10) do
      Writer.append(store, stream, Writer.events("history", batch * 1_000, Dice.scale(1, 300)), ledger)
    end
  end

  # Only pings tell a stalled connection from a quiet one.
  defp uri(port) do
    interval = Dice.between(200, 1_000)
    deadline = Dice.between(500, 3_000)
    keep_alive = "keepAliveInterval=#{interval}&keepAliveTimeout=#{interval}"
    "esdb://127.0.0.1:#{port}?tls=false&#{keep_alive}&defaultDeadline=#{deadline}"
  end

  defp store(uri), do: start!(EventStore.start_link(connection_string: uri))

  defp reader(name, uri, stream, seed) do
    reader = Reader.start_link("reader #{name}", Reader.throw(), [connection: uri, stream_name: stream], seed)
    Map.put(reader, :stream, stream)
  end

  # Reads pages from anywhere: what it gets must be what is there.
  defp asker(store, streams, ledger, seed) do
    spawn_link(fn ->
      Dice.take(seed, :asker)
      ask(store, streams, ledger)
    end)
  end

  defp ask(store, streams, ledger) do
    receive do
      :finish -> :ok
    after
      Dice.between(0, 50) ->
        {stream, from, count} = {Dice.pick(streams), Dice.scale(1, 500) - 1, Dice.scale(1, 1_000)}
        last = for({^stream, _, last} <- Ledger.acknowledged(ledger), do: last) |> Enum.max()

        case EventStore.read(store, stream, from: from, max_count: count) do
          {:ok, events} ->
            revisions = Enum.map(events, &Penstock.Event.revision/1)
            least = min(count, last - from + 1)
            law(length(events) >= least, "a read of #{least} events at least gave #{length(events)}")

            law(
              revisions == Enum.take(from..(from + count), length(events)),
              "a read gave #{brief(revisions)}"
            )

          {:error, %Error{retry?: retry?} = error} ->
            law(retry?, "a read failed for good: #{brief(error)}")
        end

        ask(store, streams, ledger)
    end
  end

  defp judge(direct, streams, ledger, readers) do
    truth = Map.new(streams, &{&1, Notebook.truth(direct, &1)})

    Ledger.check(
      for({stream, marks} <- truth, {revision, id, _} <- marks, do: {stream, revision, id}),
      ledger
    )

    for reader <- readers do
      marks = truth[reader.stream]
      who = "#{reader.name} #{inspect(reader.kind)}"

      Wait.until(@peace, fn -> Notebook.count(reader.notebook) >= length(marks) end, fn ->
        "#{who} has handled #{Notebook.count(reader.notebook)} of #{length(marks)}: #{brief(Reader.info(reader))}"
      end)

      Notebook.check(reader.notebook, marks, who)
      agrees(reader, length(marks) - 1, who)
    end
  end

  # What it says of itself once nothing is left to come.
  defp agrees(reader, last, who) do
    right? = fn info ->
      info.revision == last and info.state == :subscribed and info.ready_events == 0 and info.ready_bytes == 0
    end

    Wait.until(@peace, fn -> right?.(Reader.info(reader)) end, fn ->
      "#{who} has caught up after revision #{last} and says #{brief(Reader.info(reader))}"
    end)
  end

  defp start!({:ok, pid}), do: pid
end
