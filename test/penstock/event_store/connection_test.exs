defmodule Penstock.EventStore.ConnectionTest do
  use ExUnit.Case, async: true

  import Penstock.Store

  alias Penstock.{Error, Event, EventStore, LinearSubscription}

  @moduletag :capture_log

  setup do
    start()
  end

  defp subscription(connection) do
    Process.flag(:trap_exit, true)

    LinearSubscription.start_link(
      connection: connection,
      stream_name: "s",
      restore_stream_position!: fn -> :start end
    )
  end

  test "a process that is no connection is refused by name, and lives", %{server: server, store: store} do
    producer = subscribe(store, "s")
    agent = start_supervised!({Agent, fn -> :kept end})
    Process.register(agent, __MODULE__.Agent)

    for {other, shown} <- [
          {server, inspect(server)},
          {producer, inspect(producer)},
          {__MODULE__.Agent, "ConnectionTest.Agent"},
          {{__MODULE__.Agent, node()}, "ConnectionTest.Agent"},
          {:logger, ":logger"},
          {self(), inspect(self())}
        ] do
      for call <- [&EventStore.read(&1, "s"), &EventStore.append(&1, "s", Event.new("t", 1))] do
        error = assert_raise ArgumentError, fn -> call.(other) end
        assert error.message =~ shown
        assert error.message =~ "takes a Penstock.EventStore (its pid or name)"
      end

      assert {:error, {%ArgumentError{message: message}, _stack}} = subscription(other)
      assert message =~ shown
    end

    assert Enum.all?([server, producer, agent, Process.whereis(:logger)], &Process.alive?/1)
    assert Agent.get(agent, & &1) == :kept
    refute_received {:"$gen_call", _from, _request}
  end

  test "a connection that is not started, or not any more, is said to be so", %{uri: uri} do
    {:ok, gone} = EventStore.start_link(connection_string: uri)
    GenServer.stop(gone)

    for connection <- [__MODULE__.None, {:global, __MODULE__}, {:via, :global, __MODULE__}, gone] do
      for answer <- [EventStore.read(connection, "s"), EventStore.append(connection, "s", [])] do
        assert {:error, %Error{reason: :not_started, retry?: true, message: message}} = answer
        assert message =~ "the connection #{inspect(connection)} is not started"
      end

      assert {:error, {%Error{reason: :not_started}, _stack}} = subscription(connection)
    end
  end

  test "a connection is found by every kind of name", %{uri: uri} do
    for name <- [__MODULE__.Named, {:global, __MODULE__}, {:via, :global, {__MODULE__, :via}}] do
      {:ok, pid} = EventStore.start_link(connection_string: uri, name: name)
      for connection <- [name, pid], do: assert({:ok, _} = EventStore.append(connection, "named", []))
      assert {:ok, producer} = subscription(name)
      for process <- [producer, pid], do: GenServer.stop(process)
    end
  end

  test "neither the process nor its dictionary shows a password" do
    uri = "esdb://admin:secret99@127.0.0.1:1?tls=false"
    {:ok, store} = EventStore.start_link(connection_string: uri)
    refute inspect({:sys.get_status(store), Process.info(store)}, limit: :infinity) =~ "secret99"
    GenServer.stop(store)
  end

  test "several of a kind are children of one supervisor, by their names", %{uri: uri} do
    children = [
      {EventStore, name: __MODULE__.A, connection_string: uri},
      {EventStore, name: __MODULE__.B, connection_string: uri},
      {EventStore, connection_string: uri},
      {EventStore.Server, name: __MODULE__.S, port: 0},
      {EventStore.Server, name: __MODULE__.T, port: 0},
      {EventStore.Server, port: 0}
    ]

    {:ok, supervisor} = Supervisor.start_link(children, strategy: :one_for_one)
    ids = for {id, _pid, _type, _modules} <- Supervisor.which_children(supervisor), do: id

    assert Enum.sort(ids) ==
             Enum.sort([
               __MODULE__.A,
               __MODULE__.B,
               EventStore,
               __MODULE__.S,
               __MODULE__.T,
               EventStore.Server
             ])

    Supervisor.stop(supervisor)
  end
end
