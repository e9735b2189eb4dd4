defmodule Penstock.Soak.Kills do
  @moduledoc false
  # A server that is killed while it is written to and read from, and started again on its folder; and readers whose
  # producers and consumers are killed.

  import Penstock.Soak.Fault

  alias Penstock.EventStore
  alias Penstock.EventStore.Server
  alias Penstock.Soak.Kills.Gardener
  alias Penstock.Soak.{Dice, Ledger, Notebook, Reader, Rpc, ServerProcess, Wait, Writer}

  @peace 60_000
  # A server in this VM lets go of what it holds only after its owner has died; another process does not wait for it.
  @release 5_000
  @pause 50
  # Below the ports that systems give to those who do not ask for one: it must be free again at every start.
  @ports 20_000..29_999

  def run(seed, root) do
    Dice.take(seed, :kills)
    {folder, port, ledger} = {Path.join(root, "data"), free_port(), Ledger.new()}
    server = start(folder, port)
    streams = ["stream-1", "stream-2"]
    for stream <- streams, do: Writer.append(store(port), stream, Writer.events("first", 0, 10), ledger)

    writers =
      for name <- 1..Dice.between(1, 4), do: Writer.start_link(name, store(port), streams, ledger, seed)

    gardeners =
      for name <- 1..Dice.between(1, 3), do: Gardener.start_link(name, store(port), port, ledger, seed)

    readers = for name <- 1..Dice.between(1, 3), do: reader(name, port, Dice.pick(streams), seed)

    lives = Dice.between(3, 8)
    server = Enum.reduce(1..lives, server, fn _, server -> live(server, folder, port, ledger, readers) end)
    for process <- writers ++ gardeners, do: Wait.finish(process, @peace, "a writer")
    judge(port, streams, ledger, readers)
    stop(server)
    check(folder, @release)
    {lives, "#{Ledger.count(ledger)} appends acknowledged through #{lives} kills"}
  end

  # One life of the server, which is killed at its end, and the look at what the next one has found.
  defp live(server, folder, port, ledger, readers) do
    for _ <- 1..Dice.between(1, 3) do
      Process.sleep(Dice.scale(5, 400))
      reader = Dice.pick(readers)
      if reader.kind.hands == 1, do: Reader.kill(reader, Dice.pick([:producer, :consumer]))
    end

    stop(server)
    if Dice.chance(30), do: Process.sleep(Dice.scale(1, 300))
    acknowledged = Ledger.acknowledged(ledger)
    next = start(folder, port)
    whole(port, ledger, acknowledged)
    next
  end

  defp start(folder, port) do
    if Dice.chance(80), do: start_process(folder, port), else: start_in_vm(folder, port)
  end

  defp start_process(folder, port, patience \\ @release) do
    case ServerProcess.start(folder, port: port) do
      {:ok, server} ->
        {:process, server}

      {:refused, _status, text} = refused ->
        law(text =~ "in use" and patience > 0, "killed, and its start ended as #{brief(refused)}")
        Process.sleep(@pause)
        start_process(folder, port, patience - @pause)

      :hangs ->
        law(false, "killed, and its start hangs")
    end
  end

  defp check(folder, patience) do
    {status, text} = ServerProcess.check(folder)

    if text =~ "in use" and patience > 0 do
      Process.sleep(@pause)
      check(folder, patience - @pause)
    else
      law(status == 0, "killed, and its folder is checked to be damaged: #{text}")
    end
  end

  defp start_in_vm(folder, port) do
    owner = self()

    holder =
      spawn_link(fn ->
        Process.flag(:trap_exit, true)
        send(owner, {self(), Server.start_link(port: port, data_dir: folder)})
        receive(do: ({:EXIT, ^owner, _} -> :ok))
      end)

    receive do
      {^holder, {:ok, server}} -> {:vm, server}
      {^holder, {:error, error}} -> law(false, "killed, and its start was refused: #{brief(error)}")
    end
  end

  defp stop({:process, server}) do
    {status, said} = ServerProcess.stop(server)
    law(status == 137, "the server ended by itself, with status #{status}: #{said}")
  end

  defp stop({:vm, server}) do
    monitor = Process.monitor(server)
    Process.exit(server, :kill)
    receive(do: ({:DOWN, ^monitor, :process, _, _} -> :ok))
  end

  defp whole(port, ledger, acknowledged) do
    {:ok, all} = Rpc.read_all(port)
    positions = Enum.map(all, & &1.position)
    law(positions == Enum.uniq(Enum.sort(positions)), "$all is out of order")
    # What the server writes by itself is judged by what can be read.
    found =
      for event <- all,
          not String.starts_with?(event.stream, "$"),
          do: {event.stream, event.revision, event.id}

    ours = for {stream, _, _} = batch <- acknowledged, not String.starts_with?(stream, "$"), do: batch
    Ledger.check(found, ledger, ours)

    for {"$" <> _ = stream, [id], _} <- acknowledged do
      times = Enum.count(all, &(&1.id == id))
      law(times == 1, "#{stream}: metadata #{id} was acknowledged and is there #{times} times")
    end
  end

  defp judge(port, streams, ledger, readers) do
    whole(port, ledger, Ledger.acknowledged(ledger))
    direct = store(port)
    truth = Map.new(streams, &{&1, Notebook.truth(direct, &1)})

    for reader <- readers do
      marks = truth[reader.stream]
      who = "#{reader.name} #{inspect(reader.kind)}"

      Wait.until(@peace, fn -> Notebook.count(reader.notebook) >= length(marks) end, fn ->
        "#{who} has handled #{Notebook.count(reader.notebook)} of #{length(marks)}: #{brief(Reader.info(reader))}"
      end)

      Notebook.check(reader.notebook, marks, who)
    end
  end

  defp uri(port), do: "esdb://127.0.0.1:#{port}?tls=false&defaultDeadline=#{Dice.between(500, 3_000)}"

  defp store(port) do
    {:ok, store} = EventStore.start_link(connection_string: uri(port))
    store
  end

  defp reader(name, port, stream, seed) do
    options = [connection: uri(port), stream_name: stream]
    Map.put(Reader.start_link("reader #{name}", Reader.throw(), options, seed), :stream, stream)
  end

  defp free_port do
    port = Dice.pick(@ports)

    case :gen_tcp.listen(port, ip: {127, 0, 0, 1}) do
      {:ok, listener} ->
        :gen_tcp.close(listener)
        port

      {:error, _} ->
        free_port()
    end
  end
end
