defmodule Penstock.RemoteConsumerTest do
  # The test's VM becomes a node for as long as this takes.
  use ExUnit.Case, async: false

  import Penstock.Store

  alias Penstock.{Error, Event, EventStore, LinearSubscription}
  alias Penstock.RemoteStages.{Consumer, Counter}

  @moduletag :capture_log

  setup_all do
    {_, 0} = System.cmd("epmd", ["-daemon"])
    {:ok, _} = Node.start(:"penstock-#{System.pid()}@127.0.0.1")

    {:ok, peer, node} =
      :peer.start_link(%{name: :"penstock-peer-#{System.pid()}", host: ~c"127.0.0.1", args: code_paths()})

    {:ok, _} = :erpc.call(node, :application, :ensure_all_started, [:elixir])

    on_exit(fn -> Node.stop() end)
    %{node: node, peer: peer}
  end

  defp code_paths, do: Enum.flat_map(:code.get_path(), &[~c"-pa", &1])

  setup do
    start()
  end

  defp handled(node, count, handled \\ []) do
    if length(handled) >= count do
      handled
    else
      assert_receive {:handled, ^node, revisions}
      handled(node, count, handled ++ revisions)
    end
  end

  test "a consumer of another node gets a stream's events in order, each once", %{store: store, node: node} do
    fill(store, "s", 2000)
    producer = subscribe(store, "s")
    {:ok, _} = :erpc.call(node, Penstock.Stage, :start, [Consumer, {producer, self()}])
    assert handled(node, 2000) == Enum.to_list(0..1999)
    fill(store, "s", 1)
    assert handled(node, 1) == [2000]
  end

  test "consumers of another node take part in a broadcast, with what they want of it",
       %{store: store, node: node} do
    append_types(store, "s", for(n <- 0..499, do: if(rem(n, 5) == 0, do: "Fifth", else: "Other")))
    producer = subscribe(store, "s", dispatcher: Penstock.BroadcastDispatcher, demand: :accumulate)
    some = [filter: {:match, %{type: "Fifth"}}]
    {:ok, _} = :erpc.call(node, Penstock.Stage, :start, [Consumer, {producer, self(), some}])
    local = Penstock.Player.player(producer)
    Penstock.Player.ask(local, 500)
    :ok = Penstock.Stage.demand(producer, :forward)
    assert handled(node, 100) == Enum.to_list(0..499//5)
    assert Penstock.Player.received(local, 500) == Enum.to_list(0..499)
  end

  test "a consumer of another node gets a stage's events in order", %{node: node} do
    {:ok, producer} = Penstock.Stage.start_link(Counter, 0)
    {:ok, consumer} = :erpc.call(node, Penstock.Stage, :start, [Consumer, {producer, self()}])
    assert node |> handled(1000) |> Enum.take(1000) == Enum.to_list(0..999)
    GenServer.stop(consumer)
    GenServer.stop(producer)
  end

  describe "a connection of another node" do
    setup %{node: node, uri: uri} do
      {:ok, _} = :erpc.call(node, :application, :ensure_all_started, [:penstock])

      {:ok, far} =
        :erpc.call(node, GenServer, :start, [
          EventStore,
          EventStore.Settings.hide(uri),
          [name: Penstock.FarStore]
        ])

      :yes = :global.register_name(Penstock.FarStore, far)
      on_exit(fn -> Process.exit(far, :kill) end)
      %{connections: [far, {Penstock.FarStore, node}, {:global, Penstock.FarStore}]}
    end

    test "appends and reads, by its pid and every name", %{connections: connections, store: store} do
      for {connection, revision} <- Enum.with_index(connections) do
        assert {:ok, %{revision: ^revision}} =
                 EventStore.append(connection, "s", Event.new("T", %{"n" => 1}), expect: :any)

        assert {:ok, events} = EventStore.read(connection, "s", max_count: 10)
        assert {:ok, ^events} = EventStore.read(store, "s")
        assert length(events) == revision + 1
      end

      [connection | _] = connections

      assert {:error, %Error{reason: :wrong_expected_version}} =
               EventStore.append(connection, "s", Event.new("T", 1), expect: :no_stream)

      assert_raise ArgumentError, ~r/takes events made by/, fn ->
        EventStore.append(connection, "s", [nil])
      end
    end

    test "is what subscriptions read from, over a connection of their own", %{
      connections: connections,
      store: store
    } do
      fill(store, "s", 20)

      for connection <- connections do
        producer = subscribe(connection, "s")
        assert producer |> take(consume(producer, 100), 20) |> revisions() == Enum.to_list(0..19)
      end
    end

    test "that is none, not there, or on a node that is gone, is said", %{node: node} do
      assert_raise ArgumentError, ~r/got: :logger, a process that is none/, fn ->
        EventStore.read({:logger, node}, "s")
      end

      assert {:error, %Error{reason: :not_started}} = EventStore.read({Penstock.NoStore, node}, "s")

      assert {:error, %Error{reason: :unavailable, retry?: true, message: message}} =
               EventStore.read({Penstock.FarStore, :"nowhere@127.0.0.1"}, "s")

      assert message =~ "the node nowhere@127.0.0.1, where the connection is, cannot be reached"
    end
  end

  test "the end of a consumer's node takes its demand with it", %{store: store} do
    {:ok, peer, node} =
      :peer.start(%{name: :"penstock-brief-#{System.pid()}", host: ~c"127.0.0.1", args: code_paths()})

    {:ok, _} = :erpc.call(node, :application, :ensure_all_started, [:elixir])
    producer = subscribe(store, "none")
    {:ok, _} = :erpc.call(node, Penstock.Stage, :start, [Consumer, {producer, self()}])
    assert await_info(producer, &(&1.demand == 100))
    :peer.stop(peer)
    assert await_info(producer, &(&1.demand == 0)).state in [:reading, :subscribed]
    assert Process.alive?(producer) and LinearSubscription.info(producer)
  end
end
