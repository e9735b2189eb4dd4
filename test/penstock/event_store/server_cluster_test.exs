defmodule Penstock.EventStore.ServerClusterTest do
  use ExUnit.Case, async: true

  alias Penstock.{Error, Event, EventStore}
  alias Penstock.EventStore.Server

  defp start!(options), do: start_supervised!({Server, [port: 0] ++ options}, id: make_ref())

  defp store!(port) do
    start_supervised!({EventStore, connection_string: "esdb://127.0.0.1:#{port}?tls=false"}, id: make_ref())
  end

  defp append(store), do: EventStore.append(store, "s", [Event.new("e", %{})])

  defp request(port, lines) do
    {:ok, socket} = :gen_tcp.connect({127, 0, 0, 1}, port, [:binary, active: false])
    :ok = :gen_tcp.send(socket, Enum.join(lines ++ ["host: localhost", "connection: close", "", ""], "\r\n"))
    whole(socket, "")
  end

  defp whole(socket, read) do
    case :gen_tcp.recv(socket, 0, 10_000) do
      {:ok, more} -> whole(socket, read <> more)
      {:error, :closed} -> read
    end
  end

  defp states(server), do: Enum.map(Server.nodes(server), & &1.state)

  test "a cluster has a leader and followers, and each tells of all" do
    {:ok, server} = Server.start_cluster(3)
    assert states(server) == ["leader", "follower", "follower"]
    ports = Enum.map(Server.nodes(server), & &1.port)

    assert Server.connection_string(server) ==
             "esdb://#{Enum.map_join(ports, ",", &"127.0.0.1:#{&1}")}?tls=false"

    for port <- ports do
      gossip = request(port, ["GET /gossip HTTP/1.1"])
      for other <- ports, do: assert(gossip =~ ~s("httpEndPointPort": #{other}))
    end

    Server.stop(server)
  end

  test "after a kill another node leads, and has what was acknowledged" do
    {:ok, server} = Server.start_cluster(3)
    [leader, follower | _] = for %{port: port} <- Server.nodes(server), do: store!(port)
    {:ok, _} = append(leader)
    assert :ok = Server.kill(server, 0)
    # it waits until somebody leads
    assert {:ok, _} = append(follower)
    assert ["unknown" | others] = states(server)
    assert Enum.sort(others) == ["follower", "leader"]
    assert {:ok, [_, _]} = EventStore.read(follower, "s")
    Server.stop(server)
  end

  test "a leader that stands still is a follower when it goes on; one that resigns is, too" do
    {:ok, server} = Server.start_cluster(3)
    [_, follower | _] = for %{port: port} <- Server.nodes(server), do: store!(port)
    assert :ok = Server.freeze(server, 0)
    assert {:ok, _} = append(follower)
    assert :ok = Server.thaw(server, 0)
    assert ["follower" | _] = states(server)
    leader = Enum.find_index(states(server), &(&1 == "leader"))
    assert :ok = Server.resign(server)
    assert {:ok, _} = append(follower)
    assert Enum.at(states(server), leader) == "follower"
    Server.stop(server)
  end

  test "faults begin and end on demand" do
    server = start!([])
    store = store!(Server.port(server))
    assert {:ok, _} = append(store)

    for fault <- [:refuse_appends, :disk_full] do
      assert :ok = Server.fault(server, fault)
      assert {:error, %Error{}} = append(store)
      assert :ok = Server.heal(server)
    end

    assert {:ok, _} = append(store)

    for fault <- [
          :cut,
          :drop_subscriptions,
          :fell_behind,
          {:slow, 1},
          {:truncate, 1_000_000},
          {:not_leader, "h", 7}
        ] do
      assert :ok = Server.fault(server, fault)
    end

    assert :ok = Server.heal(server)
    assert {:ok, _} = append(store)
  end

  test "what is no fault, and a node that there is not, is refused by name" do
    server = start!([])

    for fault <- [:fire, {:slow, -1}, {:truncate, "1"}, {:not_leader, "h", 0}, nil] do
      error = assert_raise ArgumentError, fn -> Server.fault(server, fault) end
      assert error.message =~ inspect(fault)
    end

    assert {:error, %Error{reason: :invalid_argument, details: %{node: 1}}} = Server.kill(server, 1)
    assert {:error, %Error{details: %{option: :nodes}}} = Server.start_cluster(10)
  end

  test "a cluster on a disk is refused by name" do
    Process.flag(:trap_exit, true)

    assert {:error, %Error{reason: :invalid_argument, details: details}} =
             Server.start_cluster(2, data_dir: "x")

    assert details == %{option: :nodes}
    refute File.exists?("x")
  end

  test "a server with users asks who it is, and its connection string says so" do
    server = start!(users: true)
    port = Server.port(server)
    assert Server.connection_string(server) == "esdb://admin:changeit@127.0.0.1:#{port}?tls=false"
    assert request(port, ["GET /streams/s HTTP/1.1"]) =~ "HTTP/1.1 401"
    admin = "authorization: Basic #{Base.encode64("admin:changeit")}"
    assert request(port, ["GET /streams/s HTTP/1.1", admin]) =~ "HTTP/1.1 404"
  end

  test "system projections are kept when they are asked for" do
    for kept <- [true, false] do
      server = start!(system_projections: kept)
      assert request(Server.port(server), ["GET /info HTTP/1.1"]) =~ ~s("projections": #{kept})
    end
  end

  # Every read is a call to the server: nothing else is waited for.
  defp linked(store, count) do
    fn -> EventStore.read(store, "$ce-order") end
    |> Stream.repeatedly()
    |> Enum.find_value(fn
      {:ok, events} when length(events) == count -> events
      _none_yet -> nil
    end)
  end

  test "system projections follow what is appended, also after a full disk and a reset" do
    server = start!(system_projections: true)
    store = store!(Server.port(server))
    {:ok, _} = EventStore.append(store, "order-1", [Event.new("e", %{}), Event.new("e", %{})])
    assert [first, second] = linked(store, 2)
    assert inspect(first) =~ "order-1" and inspect(second) =~ "order-1"
    assert :ok = Server.fault(server, :disk_full)
    assert {:error, %Error{}} = EventStore.append(store, "order-2", [Event.new("e", %{})])
    assert :ok = Server.heal(server)
    {:ok, _} = EventStore.append(store, "order-3", [Event.new("e", %{})])
    assert inspect(List.last(linked(store, 3))) =~ "order-3"
    assert :ok = Server.reset(server)
    again = store!(Server.port(server))
    {:ok, _} = EventStore.append(again, "order-4", [Event.new("e", %{})])
    assert [only] = linked(again, 1)
    assert inspect(only) =~ "order-4"
  end
end
