defmodule Penstock.Soak.Answers.WrongServer do
  @moduledoc false
  # A server that answers by scripts of a mood, until it is told to be right.

  use GenServer

  alias Penstock.Soak.Answers.{Request, Script}
  alias Penstock.Soak.{Dice, Http2}

  @listen [:binary, active: false, reuseaddr: true, nodelay: true, ip: {127, 0, 0, 1}, backlog: 128]

  def start_link(seed, mood), do: GenServer.start_link(__MODULE__, {seed, mood})
  def port(server), do: GenServer.call(server, :port)

  @doc "From now on all answers are right; the connections of before are closed."
  def be_right(server), do: GenServer.call(server, :be_right)

  @doc "How the append of the event with this id was answered: a list of `{ending, complete?}`."
  def answered(server, id),
    do: server |> GenServer.call(:appends) |> :ets.lookup(id) |> Enum.map(&elem(&1, 1))

  @impl GenServer
  def init({seed, mood}) do
    {:ok, listener} = :gen_tcp.listen(0, @listen)
    {:ok, port} = :inet.port(listener)
    appends = :ets.new(__MODULE__, [:public, :bag])
    state = %{port: port, mood: mood, appends: appends, open: []}
    server = self()
    # The listener ends with this process, and the acceptor with it.
    spawn_link(fn ->
      accept(%{listener: listener, server: server, seed: seed, appends: appends, number: 0})
    end)

    {:ok, state}
  end

  @impl GenServer
  def handle_call(:port, _from, state), do: {:reply, state.port, state}
  def handle_call(:appends, _from, state), do: {:reply, state.appends, state}

  def handle_call({:opened, pid}, _from, state),
    do: {:reply, state.mood, %{state | open: [pid | state.open]}}

  def handle_call(:be_right, _from, state) do
    for pid <- state.open, do: Process.exit(pid, :kill)
    {:reply, :ok, %{state | mood: :right, open: []}}
  end

  defp accept(state) do
    {:ok, socket} = :gen_tcp.accept(state.listener)

    # Not linked: it is killed when the mood changes, and ends with its socket.
    pid =
      spawn(fn ->
        receive(do: (:go -> :ok))
        serve(socket, Map.put(state, :mood, GenServer.call(state.server, {:opened, self()})))
      end)

    :ok = :gen_tcp.controlling_process(socket, pid)
    send(pid, :go)
    accept(%{state | number: state.number + 1})
  end

  defp serve(socket, state) do
    with {:ok, _preface} <- :gen_tcp.recv(socket, Http2.preface_size()),
         :ok <- :gen_tcp.send(socket, Http2.settings([])) do
      loop(socket, state, %{})
    end
  end

  # What has come of each request, until it ends.
  defp loop(socket, state, requests) do
    case Http2.receive_frame(socket) do
      {:ok, {:data, ended?, id, payload}} ->
        body = Map.get(requests, id, "") <> payload
        if ended?, do: answer(socket, state, id, body)
        loop(socket, state, Map.put(requests, id, body))

      {:ok, {:settings, false, 0, _}} ->
        :gen_tcp.send(socket, Http2.settings_ack())
        loop(socket, state, requests)

      {:ok, {:ping, false, 0, payload}} ->
        :gen_tcp.send(socket, Http2.pong(payload))
        loop(socket, state, requests)

      {:ok, _frame} ->
        loop(socket, state, requests)

      {:error, _} ->
        :ok
    end
  end

  defp answer(socket, state, id, body) do
    request = Request.parse(body)

    spawn_link(fn ->
      Dice.take(state.seed, {:answer, state.number, id})
      {steps, ending, complete?} = Script.throw(request, id, state.mood)
      with {:append, event} <- request, do: :ets.insert(state.appends, {event, {ending, complete?}})
      Enum.each(steps, &step(&1, socket))
    end)
  end

  defp step({:send, bytes}, socket), do: :gen_tcp.send(socket, bytes)
  defp step({:wait, milliseconds}, _socket), do: Process.sleep(milliseconds)
  defp step(:close, socket), do: :gen_tcp.close(socket)

  defp step(:reset, socket) do
    :inet.setopts(socket, linger: {true, 0})
    :gen_tcp.close(socket)
  end
end
