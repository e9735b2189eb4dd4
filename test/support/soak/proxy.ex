defmodule Penstock.Soak.Proxy do
  @moduledoc false
  # A network as it is: a TCP proxy on a free port whose connections are cut, reset, stalled, delayed, dripped and half
  # closed, and which sometimes does not listen at all. What happens to the n-th connection at which byte comes from
  # the seed.

  use GenServer

  alias Penstock.Soak.Dice
  alias Penstock.Soak.Proxy.{Connection, Plan}

  @listen [:binary, active: false, reuseaddr: true, nodelay: true, ip: {127, 0, 0, 1}, backlog: 128]

  def start_link(target, seed), do: GenServer.start_link(__MODULE__, {target, seed})
  def port(proxy), do: GenServer.call(proxy, :port)

  @doc "From now on it only passes on; connections that something was still to happen to are reset."
  def calm(proxy), do: GenServer.call(proxy, :calm)

  @doc "How many connections there were."
  def connections(proxy), do: GenServer.call(proxy, :connections)

  @impl GenServer
  def init({target, seed}) do
    {:ok, listener} = :gen_tcp.listen(0, @listen)
    {:ok, port} = :inet.port(listener)
    proxy = self()

    acceptor =
      spawn_link(fn ->
        receive do
          :go -> accept(%{proxy: proxy, listener: listener, port: port, target: target, seed: seed}, 0)
        end
      end)

    :ok = :gen_tcp.controlling_process(listener, acceptor)
    send(acceptor, :go)
    {:ok, %{port: port, calm?: false, open: MapSet.new(), count: 0}}
  end

  @impl GenServer
  def handle_call(:port, _from, state), do: {:reply, state.port, state}
  def handle_call(:connections, _from, state), do: {:reply, state.count, state}

  def handle_call(:calm, _from, state) do
    for connection <- state.open, do: send(connection, :calm)
    {:reply, :ok, %{state | calm?: true}}
  end

  def handle_call(:calm?, _from, state), do: {:reply, state.calm?, state}

  def handle_call({:opened, connection}, _from, state) do
    Process.monitor(connection)
    if state.calm?, do: send(connection, :calm)
    {:reply, :ok, %{state | open: MapSet.put(state.open, connection), count: state.count + 1}}
  end

  @impl GenServer
  def handle_info({:DOWN, _monitor, :process, connection, _reason}, state) do
    {:noreply, %{state | open: MapSet.delete(state.open, connection)}}
  end

  defp accept(state, number) do
    Dice.take(state.seed, {:connection, number})
    {:ok, client} = :gen_tcp.accept(state.listener)
    plan = if GenServer.call(state.proxy, :calm?), do: Plan.none(), else: Plan.throw()
    connection = spawn_link(fn -> Connection.run(state.target, plan) end)
    :ok = :gen_tcp.controlling_process(client, connection)
    :ok = GenServer.call(state.proxy, {:opened, connection})
    send(connection, {:go, client})
    accept(absent(state, plan.absent), number + 1)
  end

  defp absent(state, 0), do: state

  defp absent(state, milliseconds) do
    :gen_tcp.close(state.listener)
    Process.sleep(milliseconds)
    %{state | listener: listen(state.port)}
  end

  defp listen(port) do
    case :gen_tcp.listen(port, @listen) do
      {:ok, listener} -> listener
      {:error, :eaddrinuse} -> listen(port)
    end
  end
end
