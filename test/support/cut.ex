defmodule Penstock.Cut do
  @moduledoc false
  # A road to a server whose connections a test cuts when it likes; new ones are passed on.

  use GenServer

  @options [:binary, active: false, nodelay: true, ip: {127, 0, 0, 1}]

  def start_link(target), do: GenServer.start_link(__MODULE__, target)
  def uri(road), do: "esdb://127.0.0.1:#{GenServer.call(road, :port)}?tls=false"

  @doc "Resets all connections that there are."
  def cut(road), do: GenServer.call(road, :cut)

  @impl GenServer
  def init(target) do
    {:ok, listener} = :gen_tcp.listen(0, [reuseaddr: true] ++ @options)
    {:ok, port} = :inet.port(listener)
    road = self()
    spawn_link(fn -> accept(listener, target, road) end)
    {:ok, %{port: port, listener: listener, connections: []}}
  end

  @impl GenServer
  def handle_call(:port, _from, state), do: {:reply, state.port, state}

  def handle_call(:cut, _from, state) do
    for connection <- state.connections, do: Process.exit(connection, :kill)
    {:reply, :ok, %{state | connections: []}}
  end

  def handle_call({:opened, connection}, _from, state),
    do: {:reply, :ok, %{state | connections: [connection | state.connections]}}

  # The sockets are a connection's own, so they end with it.
  defp accept(listener, target, road) do
    {:ok, client} = :gen_tcp.accept(listener)
    connection = spawn(fn -> receive do: (:yours -> connect(client, target, road)) end)
    :ok = :gen_tcp.controlling_process(client, connection)
    :ok = GenServer.call(road, {:opened, connection})
    send(connection, :yours)
    accept(listener, target, road)
  end

  defp connect(client, target, road) do
    Process.monitor(road)

    with {:ok, server} <- :gen_tcp.connect({127, 0, 0, 1}, target, @options) do
      :inet.setopts(client, active: true)
      :inet.setopts(server, active: true)
      pass(client, server)
    end
  end

  defp pass(client, server) do
    receive do
      {:tcp, ^client, bytes} -> :gen_tcp.send(server, bytes) == :ok && pass(client, server)
      {:tcp, ^server, bytes} -> :gen_tcp.send(client, bytes) == :ok && pass(client, server)
      _closed_or_over -> :ok
    end
  end
end
