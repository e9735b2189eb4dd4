defmodule Bench.Consumer do
  @moduledoc false
  # Counts what it is given, and tells its parent when it has had that much.

  use Penstock.Stage

  @doc "`{parent, producer, max_demand, count}`, and `:stream` or `:all` for what the events are of."
  def start_link(arguments, of \\ :stream), do: Penstock.Stage.start_link(__MODULE__, {arguments, of})

  @impl true
  def init({{parent, producer, max_demand, count}, of}) do
    state = %{parent: parent, of: of, count: count, had: 0, last: -1}
    {:consumer, state, subscribe_to: [{producer, max_demand: max_demand}]}
  end

  @impl true
  def handle_events(events, _from, %{count: count, had: had} = state) do
    last = if state.of == :stream, do: follow(events, state.last), else: ascend(events, state.last)
    now = had + length(events)
    if had < count and now >= count, do: send(state.parent, {:all, count})
    {:noreply, [], %{state | had: now, last: last}}
  end

  # A bench that loses, doubles or reorders an event measures nothing.
  defp follow([%{metadata: %{stream_revision: next}} | events], last) when next == last + 1,
    do: follow(events, next)

  defp follow([], last), do: last

  # What is lost of the log of all streams is missing at the end, as all of it is waited for.
  defp ascend([%{metadata: %{prepare_position: next}} | events], last) when next > last,
    do: ascend(events, next)

  defp ascend([], last), do: last
end

defmodule Bench do
  @moduledoc false
  # What the benches share: a server in a process of its own, streams to read, and the figures.

  @root Path.expand("..", __DIR__)

  @doc "Starts `bin/server` on a free port; it ends with this VM, whose death closes its standard input."
  def start_server(arguments \\ ["--memory"]) do
    {_port, "listening " <> address} = start("bin/server", ["--port", "0" | arguments])
    "esdb://#{address}?tls=false"
  end

  @doc "The same over TLS: its connection string, and the file of the certificate to trust."
  def start_tls_server do
    {port, "listening " <> address} = start("bin/server", ["--port", "0", "--memory", "--tls", "self-made"])
    receive do: ({^port, {:data, {:eol, "ca " <> file}}} -> {"esdb://#{address}?tlsCaFile=#{file}", file})
  end

  @doc "Starts any program the same way: its port, and the first line that it prints."
  def start(program, arguments) do
    port =
      Port.open({:spawn_executable, path("bench/with_parent")}, [
        :binary,
        :exit_status,
        line: 200,
        args: [path(program) | arguments]
      ])

    receive do
      {^port, {:data, {:eol, line}}} -> {port, line}
      {^port, {:exit_status, status}} -> raise "#{program} ended with status #{status}"
    end
  end

  @doc "The process that `start/2` started."
  def pid(port) do
    {:os_pid, parent} = Port.info(port, :os_pid)
    "/proc/#{parent}/task/#{parent}/children" |> File.read!() |> String.split() |> hd()
  end

  @doc "Ends it with a signal, and waits until it has ended."
  def stop(port, signal \\ "TERM") do
    {_, 0} = System.cmd("kill", ["-#{signal}", pid(port)])
    receive do: ({^port, {:exit_status, _}} -> :ok)
  end

  @doc "A path from the project's own folder."
  def path(relative), do: Path.join(@root, relative)

  @doc "Host and port of a connection string of one host."
  def address(connection_string) do
    %URI{host: host, port: port} = URI.parse(connection_string)
    "#{host}:#{port || 2113}"
  end

  @doc "A JSON body of about this many bytes."
  def body(size) do
    head = ~s({"order":4711,"customer":"c-81","total":99.5,"paid":true,"note":")
    head <> String.duplicate("x", max(size - byte_size(head) - 2, 0)) <> ~s("})
  end

  @doc "What one of the example programs of the client says, in words."
  def example(name, arguments) do
    {said, 0} = System.cmd(path("_build/native/release/examples/#{name}"), arguments)
    String.split(said)
  end

  @doc "A producer of a stream from its start."
  def subscribe(uri, stream, options) do
    settings = [connection: uri, stream_name: stream, restore_stream_position!: fn -> :start end]
    Penstock.LinearSubscription.start_link(Keyword.merge(settings, options))
  end

  @doc "Makes sure that the stream holds at least `count` events of this size."
  def fill(store, stream, count, size) do
    body = body(size)
    batch = max(div(900_000, size + 200), 1)

    for first <- Enum.take_while(Stream.iterate(length_of(store, stream), &(&1 + batch)), &(&1 < count)) do
      events =
        for _ <- 1..min(batch, count - first),
            do: Penstock.Event.new("Benched", {:raw, body})

      {:ok, _} = Penstock.EventStore.append(store, stream, events)
    end
  end

  defp length_of(store, stream) do
    case Penstock.EventStore.read(store, stream, from: :end, direction: :backwards, max_count: 1, json: :raw) do
      {:ok, [last]} -> last.metadata.stream_revision + 1
      {:error, %{reason: :stream_not_found}} -> 0
    end
  end

  @doc "User and system time of all threads of this VM, in ns. `:erlang.statistics(:runtime)` leaves the system's out."
  def cpu do
    for thread <- File.ls!("/proc/self/task"), reduce: 0 do
      sum ->
        [ran | _waited] = "/proc/self/task/#{thread}/schedstat" |> File.read!() |> String.split()
        sum + String.to_integer(ran)
    end
  end

  @doc "Resident memory of this VM in kB: now, and the most since `forget_peak/0`."
  def memory do
    status = File.read!("/proc/self/status")

    [now, most] =
      for name <- ["VmRSS", "VmHWM"], do: Regex.run(~r/#{name}:\s+(\d+) kB/, status) |> List.last()

    {String.to_integer(now), String.to_integer(most)}
  end

  def forget_peak, do: File.write!("/proc/self/clear_refs", "5")

  def median(values) do
    sorted = Enum.sort(values)
    half = div(length(sorted), 2)

    if rem(length(sorted), 2) == 1,
      do: Enum.at(sorted, half),
      else: (Enum.at(sorted, half - 1) + Enum.at(sorted, half)) / 2
  end

  def percentile(values, share) do
    values |> Enum.sort() |> Enum.at(min(trunc(length(values) * share), length(values) - 1))
  end

  def figure(name, value) when is_float(value),
    do: IO.puts("figure #{name} #{:erlang.float_to_binary(value, decimals: 2)}")

  def figure(name, value), do: IO.puts("figure #{name} #{value}")
end
