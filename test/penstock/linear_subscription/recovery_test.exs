defmodule Penstock.LinearSubscription.RecoveryTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog
  import Penstock.Store

  alias Penstock.{EventStore, LinearSubscription, StageWire}
  alias Penstock.EventStore.Server

  @moduletag :capture_log

  defmodule Handler do
    use Penstock.Stage

    def start_link(options), do: Penstock.Stage.start_link(__MODULE__, options)

    @impl true
    def init(%{producer: producer} = options) do
      producer |> GenServer.whereis() |> Process.link()
      {:consumer, options, subscribe_to: [{producer, max_demand: 1}]}
    end

    @impl true
    def handle_events([event], _from, options) do
      revision = Penstock.Event.revision(event)
      send(options.test, {:tried, revision})
      if options.fails.(revision), do: raise("cannot handle #{revision}")
      Agent.update(options.position, fn _ -> revision end)
      send(options.test, {:handled, revision})
      {:noreply, [], options}
    end
  end

  test "a handler that fails takes the producer down, and the event comes again until it is handled" do
    %{store: store} = start()
    fill(store, "s", 60)
    position = start_supervised!({Agent, fn -> :start end})
    tries = :counters.new(1, [])

    fails = fn
      42 -> :counters.add(tries, 1, 1) == :ok and :counters.get(tries, 1) < 4
      _ -> false
    end

    producer =
      {LinearSubscription,
       name: __MODULE__.Producer,
       connection: store,
       stream_name: "s",
       restore_stream_position!: {Agent, :get, [position, Function, :identity, []]}}

    handler = {Handler, %{producer: __MODULE__.Producer, test: self(), position: position, fails: fails}}

    start_supervised!(%{
      id: :pipeline,
      start: {Supervisor, :start_link, [[producer, handler], [strategy: :one_for_one, max_restarts: 50]]}
    })

    for revision <- 0..59, do: assert_receive({:handled, ^revision})
    fill(store, "s", 1)
    assert_receive {:handled, 60}
    tried = received(:tried)
    assert tried == Enum.to_list(0..41) ++ [42, 42, 42, 42] ++ Enum.to_list(43..60)
  end

  defp received(kind) do
    receive do
      {^kind, what} -> [what | received(kind)]
    after
      0 -> []
    end
  end

  test "the producer is as any process: named, linked, stopped" do
    %{store: store} = start()
    producer = subscribe(store, "s", name: __MODULE__.Named)
    assert GenServer.whereis(__MODULE__.Named) == producer
    monitor = Process.monitor(producer)
    :ok = GenServer.stop(producer)
    assert_receive {:DOWN, ^monitor, :process, ^producer, :normal}
    linked = subscribe(store, "s")
    monitor = Process.monitor(linked)

    spawn(fn ->
      Process.link(linked)
      exit(:consumer_failed)
    end)

    assert_receive {:DOWN, ^monitor, :process, ^linked, :consumer_failed}
  end

  test "a server that is killed and comes back is resumed from, without loss or doubles" do
    directory = temporary_dir()
    %{server: server, uri: uri} = start(data_dir: directory)
    port = Server.port(server)
    store = start_supervised!({EventStore, connection_string: uri})
    fill(store, "s", 3000)
    producer = subscribe(store, "s")
    tag = consume(producer, 1000)
    first = take(producer, tag, 1000)
    await_info(producer, &(&1.ready_events == 2000))

    log =
      capture_log(fn ->
        monitor = Process.monitor(server)
        Process.exit(server, :kill)
        assert_receive {:DOWN, ^monitor, :process, ^server, :killed}
        # what was read before stays, and is given out meanwhile
        StageWire.ask(producer, tag, 100)
        assert %{last_error: %{reason: :unavailable}} = await_info(producer, &(&1.last_error != nil))
        start_again(port, directory)
        StageWire.ask(producer, tag, 10_000)
        rest = take(producer, tag, 2000)
        assert revisions(first ++ rest) == Enum.to_list(0..2999)
        fill(store, "s", 10)
        assert producer |> take(tag, 10) |> revisions() == Enum.to_list(3000..3009)
        assert %{reconnects: 1, stale_events: 0, revision: 3009} = LinearSubscription.info(producer)
      end)

    assert log =~ ~s(of "s" was dropped: the server is not available)
    assert log =~ ~s(of "s" resumed after revision 2999)
  end

  # The killed server's port and directory are free a moment later.
  defp start_again(port, directory) do
    child =
      Supervisor.child_spec({Server, port: port, data_dir: directory}, id: make_ref(), restart: :temporary)

    case start_supervised(child) do
      {:ok, _} -> :ok
      {:error, _} -> start_again(port, directory)
    end
  end

  test "the start does not need the server" do
    {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(socket)
    :gen_tcp.close(socket)
    uri = "esdb://127.0.0.1:#{port}?tls=false"

    producer =
      start_supervised!(
        {LinearSubscription, connection: uri, stream_name: "s", restore_stream_position!: fn -> :start end}
      )

    tag = consume(producer, 10)

    assert %{last_error: %{reason: :unavailable, message: message}} =
             await_info(producer, &(&1.last_error != nil))

    assert message =~ "127.0.0.1:#{port}"
    start_supervised!({Server, port: port, data_dir: :memory})
    store = start_supervised!({EventStore, connection_string: uri})
    fill(store, "s", 2)
    assert producer |> take(tag, 2) |> revisions() == [0, 1]
  end

  test "the producer's death frees what it held on the server" do
    %{store: store} = start()
    fill(store, "s", 10)
    producers = for _ <- 1..20, do: subscribe(store, "s")
    for producer <- producers, do: await_info(producer, &(&1.ready_events == 10))

    for producer <- producers do
      monitor = Process.monitor(producer)
      Process.exit(producer, :kill)
      assert_receive {:DOWN, ^monitor, :process, ^producer, :killed}
    end

    assert {:ok, [_ | _]} = EventStore.read(store, "s")
  end
end
