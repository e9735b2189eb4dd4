defmodule Bench do
  @moduledoc false
  # What the benches share: a server in a process of its own, streams to read, and the figures.

  @root Path.expand("..", __DIR__)

  @doc "Starts `bin/server` on a free port; it ends with this VM, whose death closes its standard input."
  def start_server(arguments \\ ["--memory"]) do
    {_port, "listening " <> address} = start("bin/server", ["--port", "0" | arguments])
    "esdb://#{address}?tls=false"
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
