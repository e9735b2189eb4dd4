defmodule Penstock.LinearSubscription.StandingTest do
  use ExUnit.Case, async: true

  import Penstock.Store

  alias Penstock.{Error, EventStore, LinearSubscription, StageWire}
  alias Penstock.EventStore.Server

  @moduletag :capture_log

  defp stop(server) do
    monitor = Process.monitor(server)
    Server.stop(server)
    assert_receive {:DOWN, ^monitor, :process, ^server, _}
  end

  test "a slow consumer never has a subscription be said to stand while the server is away" do
    %{server: server, store: store} = start()
    fill(store, "s", 100)

    lines =
      logged(fn ->
        producer = subscribe(store, "s")
        tag = consume(producer, 90)
        take(producer, tag, 90)
        await_info(producer, &(&1.ready_events == 10))
        stop(server)
        await_info(producer, &(&1.last_error != nil))
        StageWire.ask(producer, tag, 10)
        assert producer |> take(tag, 10) |> revisions() == Enum.to_list(90..99)
        # the mark behind them was reached, too
        for _ <- 1..20, do: assert(LinearSubscription.info(producer).state in [:backing_off, :connecting])
        producer
      end)

    [dropped | attempts] = lines
    assert dropped =~ "was dropped"
    assert Enum.all?(attempts, &(&1 =~ "could not connect"))
  end

  test "what happens to the connection is logged at once and in its order, whatever the consumer has taken" do
    %{server: server, store: store, uri: uri} = start(data_dir: directory = temporary_dir())
    port = Server.port(server)
    fill(store, "s", 100)

    lines =
      logged(fn ->
        producer = subscribe(store, "s")
        tag = consume(producer, 50)
        take(producer, tag, 50)
        await_info(producer, &(&1.ready_events == 50))
        stop(server)
        await_info(producer, &(&1.last_error != nil))
        start_again(port, directory)
        # nothing was taken meanwhile, so the mark of the first connection still waits
        assert %{state: :reading, ready_events: 50} = await_info(producer, &(&1.reconnects == 1))
        StageWire.ask(producer, tag, 50)
        take(producer, tag, 50)
        StageWire.ask(producer, tag, 10)
        assert %{state: :subscribed, revision: 99} = await_info(producer, &(&1.state == :subscribed))
        fill(start_supervised!({EventStore, connection_string: uri}, id: :again), "s", 1)
        assert producer |> take(tag, 1) |> revisions() == [100]
        producer
      end)

    [dropped | rest] = lines
    assert dropped =~ "was dropped"
    {attempts, [resumed, caught_up]} = Enum.split(rest, -2)
    assert Enum.all?(attempts, &(&1 =~ "could not connect"))
    assert resumed =~ "resumed after revision 99"
    assert caught_up =~ "has caught up after revision 99"
  end

  test "somebody in the server's place who speaks something else is named, and followed by the server" do
    %{server: server, store: store} = start(data_dir: directory = temporary_dir())
    port = Server.port(server)
    fill(store, "s", 2)

    lines =
      logged(fn ->
        producer = subscribe(store, "s")
        tag = consume(producer, 10)
        assert producer |> take(tag, 2) |> revisions() == [0, 1]
        await_info(producer, &(&1.state == :subscribed))
        stop(server)
        peer = Penstock.OtherPeer.listen(port)
        ^port = Penstock.OtherPeer.port(peer)

        %{last_error: error} = await_info(producer, &match?(%Error{reason: :protocol}, &1.last_error))

        assert error.message =~ ~s(127.0.0.1:#{port}: it answered "HTTP/1.1 400 Bad Request")
        Penstock.OtherPeer.stop(peer)
        start_again(port, directory)
        fill(store, "s", 1)
        assert producer |> take(tag, 1) |> revisions() == [2]
        producer
      end)

    assert Enum.any?(lines, &(&1 =~ ~s(it answered "HTTP/1.1 400 Bad Request")))
  end

  defp start_again(port, directory) do
    child =
      Supervisor.child_spec({Server, port: port, data_dir: directory}, id: make_ref(), restart: :temporary)

    case start_supervised(child) do
      {:ok, server} -> server
      {:error, _} -> start_again(port, directory)
    end
  end

  test "a first connection that cannot be made is not called a drop" do
    {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(socket)
    :gen_tcp.close(socket)

    lines =
      logged(fn ->
        producer = subscribe("esdb://127.0.0.1:#{port}?tls=false", "s")
        await_info(producer, &(&1.last_error != nil))
        start_supervised!({Server, port: port, data_dir: :memory})
        await_info(producer, &(&1.state == :subscribed))
        producer
      end)

    {attempts, [connected, caught_up]} = Enum.split(lines, -2)
    assert attempts != []

    for line <- attempts,
        do: assert(line =~ "could not connect: the server is not available: 127.0.0.1:#{port}")

    assert connected =~ "is connected at the start of the stream"
    assert caught_up =~ "has caught up at the start of the stream"
  end

  test "a subscription from the end says where that is" do
    %{store: store} = start()
    fill(store, "s", 100)

    lines =
      logged(fn ->
        producer = subscribe(store, "s", restore_stream_position!: fn -> :end end)
        assert await_info(producer, &(&1.state == :subscribed)).revision == 99
        tag = consume(producer, 10)
        fill(store, "s", 1)
        assert producer |> take(tag, 1) |> revisions() == [100]
        producer
      end)

    assert [line] = lines
    assert line =~ "has caught up after revision 99"
  end

  describe "a stream that ends before the position" do
    test "is warned of, told by info, and waited for" do
      %{store: store} = start()
      fill(store, "s", 3)

      lines =
        logged(fn ->
          producer = subscribe(store, "s", restore_stream_position!: fn -> 5 end)
          info = await_info(producer, &(&1.position_beyond_end != nil))
          assert info.position_beyond_end == %{position: 5, last_revision: 2}
          tag = consume(producer, 10)
          fill(store, "s", 5)
          assert producer |> take(tag, 2) |> revisions() == [6, 7]
          assert LinearSubscription.info(producer).position_beyond_end == nil
          producer
        end)

      assert warning = Enum.find(lines, &(&1 =~ "[warning]"))
      assert warning =~ "goes on after revision 5, and the stream ends at revision 2"
      assert warning =~ "what is appended up to revision 5 is not emitted"
    end

    test "is found when the server has come back empty" do
      %{server: server, store: store} = start()
      fill(store, "s", 3)
      producer = subscribe(store, "s")
      tag = consume(producer, 3)
      take(producer, tag, 3)
      await_info(producer, &(&1.state == :subscribed))
      port = Server.port(server)

      lines =
        logged(fn ->
          stop(server)
          start_again(port, :memory)
          info = await_info(producer, &(&1.position_beyond_end != nil))
          assert info.position_beyond_end == %{position: 2, last_revision: nil}
          # with an ask it looks for what is new, and says so
          StageWire.ask(producer, tag, 1)
          StageWire.settle(producer)
          producer
        end)

      assert Enum.find(lines, &(&1 =~ "goes on")) =~ "goes on after revision 2, and the stream does not exist"
    end

    test "ends a subscription that is to stop there" do
      Process.flag(:trap_exit, true)
      %{store: store} = start()
      fill(store, "s", 3)

      {:ok, producer} =
        LinearSubscription.start_link(
          connection: store,
          stream_name: "s",
          restore_stream_position!: fn -> 5 end,
          on_position_beyond_end: :stop
        )

      assert_receive {:EXIT, ^producer, %Error{reason: :position_beyond_end} = error}
      assert %{retry?: false, details: %{stream: "s", position: 5, last_revision: 2}} = error
      assert error.message =~ "ends at revision 2, which is before position 5"
    end
  end
end
