defmodule ServerBench.Peers do
  @moduledoc false
  # Who appends: the server, UmaDB and SQLite, on one disk, each in every way that it may be used.

  @server "_build/native/release/penstock-server"
  @append "_build/native/release/examples/plain_append"
  @peers "_build/server_peers/release/server_peers"

  @doc "Starts the servers, their data beside each other in the folder."
  def start(folder) do
    {ours, "listening " <> address} =
      Bench.start(@server, ["--port", "0", "--data", Path.join(folder, "ours")])

    umadb = for pipelined <- [false, true], do: {pipelined, umadb(folder, pipelined)}
    addresses = for {pipelined, {_port, address}} <- umadb, do: {pipelined, address}

    %{
      ports: [ours | for({_, {port, _}} <- umadb, do: port)],
      penstock: address,
      umadb: addresses,
      folder: folder
    }
  end

  def stop(peers), do: Enum.each(peers.ports, &Bench.stop/1)

  # One server for each way its writer works: which is faster depends on the number of clients.
  defp umadb(folder, pipelined) do
    address = "127.0.0.1:#{free_port()}"
    file = Path.join(folder, "umadb_#{pipelined}.db")
    arguments = ["umadb-server", "--listen", address, "--db-path", file, "--pipelined-writer", "#{pipelined}"]
    {port, _} = Bench.start(@peers, arguments)
    await(address)
    {port, address}
  end

  defp free_port do
    {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(socket)
    :gen_tcp.close(socket)
    port
  end

  defp await(address) do
    [host, port] = String.split(address, ":")

    case :gen_tcp.connect(to_charlist(host), String.to_integer(port), []) do
      {:ok, socket} -> :gen_tcp.close(socket)
      {:error, :econnrefused} -> Process.sleep(20) && await(address)
    end
  end

  @doc "What is measured with this many clients."
  def variants(peers, clients) do
    connections = Enum.uniq([1, clients])

    penstock =
      for way <- ["append", "batch"], count <- connections do
        label = "Penstock, #{%{"append" => "Append", "batch" => "BatchAppend"}[way]}, #{over(count)}"
        %{of: :penstock, label: label, program: @append, words: [peers.penstock, clients, count, way]}
      end

    umadb =
      for {pipelined, address} <- peers.umadb, count <- connections do
        label = "UmaDB, #{if pipelined, do: "pipelined", else: "plain"} writer, #{over(count)}"
        %{of: :umadb, label: label, program: @peers, words: ["umadb", address, clients, count]}
      end

    file = Path.join(peers.folder, "sqlite.db")
    disk = Path.join(peers.folder, "disk")

    sqlite =
      for {way, label} <- sqlite_ways(clients) do
        # to group appends is to write a server: shown, but not compared with
        of = if way == "grouped", do: :shown, else: :sqlite
        %{of: of, label: "SQLite, #{label}", program: @peers, words: ["sqlite", file, clients, way]}
      end

    alone = %{
      of: :shown,
      label: "the disk alone, 300 B and fdatasync",
      program: @peers,
      words: ["disk", disk]
    }

    penstock ++ umadb ++ sqlite ++ if(clients == 1, do: [alone], else: [])
  end

  defp over(1), do: "one connection"
  defp over(count), do: "#{count} connections"

  defp sqlite_ways(1), do: [{"own", "in process"}]

  defp sqlite_ways(_) do
    [
      {"own", "a connection for each"},
      {"one", "one thread writes, an append a transaction"},
      {"grouped", "one thread writes, a transaction for all that wait"}
    ]
  end

  @doc "Appends for so many milliseconds: appends a second, and latencies in ns."
  def run(variant, ms) do
    words = for word <- variant.words ++ [ms], do: to_string(word)
    {said, 0} = System.cmd(Bench.path(variant.program), words)
    ["appends", count, "ns", ns, "p50_ns", p50, "p99_ns", p99] = String.split(said)
    [count, ns, p50, p99] = for number <- [count, ns, p50, p99], do: String.to_integer(number)
    %{rate: round(count * 1.0e9 / ns), p50: p50, p99: p99}
  end
end
