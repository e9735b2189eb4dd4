defmodule ServerBench.Filled do
  @moduledoc false
  # A data folder with many events, made once: how long the server takes to open it, and what it holds in memory.

  @server "_build/native/release/penstock-server"
  @append "_build/native/release/examples/plain_append"
  @streams 9_000

  @doc "The stream that has a tenth of the events."
  def stream, do: "filled"

  @doc "Makes the folder below `below`, unless a server that can still read it made it before."
  def make(below, events) do
    folder = Path.join(below, "filled_#{events}")
    if File.exists?(done(folder)) and readable?(folder), do: folder, else: make_anew(folder, events)
  end

  # Written when the folder is whole: one that is being made when the bench is stopped is made again.
  defp done(folder), do: folder <> ".done"

  defp readable?(folder) do
    Bench.stop(open(folder).port)
    true
  rescue
    RuntimeError -> false
  end

  defp make_anew(folder, events) do
    IO.puts("making a data folder with #{events} events, once")
    for old <- [done(folder), folder], do: File.rm_rf!(old)
    File.mkdir_p!(Path.dirname(folder))
    server = open(folder, unsynced())
    {_, 0} = System.cmd(Bench.path(@append), [server.address, "fill", stream(), "#{events}", "#{@streams}"])
    Bench.stop(server.port)
    {_, 0} = System.cmd("sync", [])
    File.touch!(done(folder))
    folder
  end

  defp unsynced do
    {usage, 0} = System.cmd(Bench.path(@server), ["--help"])
    if usage =~ "--fsync", do: ["--fsync", "never"], else: []
  end

  @doc "Starts a server on the folder; it answers."
  def open(folder, more \\ []) do
    {port, "listening " <> address} = Bench.start(@server, ["--port", "0", "--data", folder | more])
    %{port: port, address: address}
  end

  @doc "Seconds from the start of the process until it answers, after one that was written to was ended by a signal."
  def opening(folder, signal) do
    server = open(folder)
    {_, 0} = System.cmd(Bench.path(@append), [server.address, "64", "1", "batch", "100"])
    Bench.stop(server.port, signal)
    began = System.monotonic_time(:millisecond)
    server = open(folder)
    took = System.monotonic_time(:millisecond) - began
    Bench.stop(server.port)
    took / 1000
  end

  @doc "Resident memory of the server, in MB."
  def memory(server) do
    [_, kb] = Regex.run(~r/VmRSS:\s+(\d+) kB/, File.read!("/proc/#{Bench.pid(server.port)}/status"))
    div(String.to_integer(kb), 1024)
  end

  @doc "Has the system drop what it has cached of the folder's files."
  def forget_cache(folder) do
    for file <- Path.wildcard(folder <> "/**"), File.regular?(file) do
      {_, 0} = System.cmd("dd", ["if=" <> file, "iflag=nocache", "count=0", "status=none"])
    end
  end
end
