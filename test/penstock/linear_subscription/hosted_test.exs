defmodule Penstock.LinearSubscription.HostedTest do
  # Dispatchers that the core does not have: events are taken by the producer's process, and a stage's outgoing side deals
  # them.
  use ExUnit.Case, async: true

  import Penstock.Player, only: [player: 2, received: 1, received: 2, ask: 2, cancel: 2, cancelled: 1]
  import Penstock.Store

  alias Penstock.EventStore.Server
  alias Penstock.{Cut, Error, Event, EventStore, FirstComeDispatcher, LinearSubscription, Stage, StageWire}

  @moduletag :capture_log

  setup do
    start()
  end

  defp hashed(store, hash, options \\ [], stream \\ "s") do
    dispatcher = {Penstock.PartitionDispatcher, partitions: [:even, :odd], hash: hash}
    subscribe(store, stream, [dispatcher: dispatcher] ++ options)
  end

  defp parity(%{body: %{"n" => n}} = event), do: {event, if(rem(n, 2) == 0, do: :even, else: :odd)}

  defp players(producer), do: for(name <- [:even, :odd], do: player(producer, partition: name))

  describe "a hash that is a function" do
    test "tells the partition of each event, and keeps the order of each", %{store: store} do
      fill(store, "s", 3000)
      [even, odd] = store |> hashed(&parity/1) |> players()
      for player <- [even, odd], do: ask(player, 3000)
      assert received(even, 1500) == Enum.to_list(1..2999//2)
      assert received(odd, 1500) == Enum.to_list(0..2998//2)
      # a wake after it was empty
      fill(store, "s", 2)
      assert received(even, 1) == [3001]
      assert received(odd, 1) == [3000]
    end

    test "may change an event, or leave it out", %{store: store} do
      fill(store, "s", 30)

      hash = fn
        %{body: %{"n" => n}} when rem(n, 3) == 0 -> :none
        event -> {%{event | body: :changed}, :even}
      end

      producer = hashed(store, hash)
      tag = StageWire.subscribe(producer, make_ref(), nil, partition: :even)
      StageWire.ask(producer, tag, 21)
      events = take(producer, tag, 20)
      assert revisions(events) == for(n <- 0..29, rem(n, 3) != 2, do: n)
      assert Enum.all?(events, &(&1.body == :changed))
      assert %{state: :subscribed, revision: 29} = await_info(producer, &(&1.state == :subscribed))
    end

    test "is given the event that a link leads to, with the link beside it", %{store: store} do
      fill(store, "account-1", 3)
      links = for n <- 0..2, do: Event.new("$>", "#{n}@account-1", content_type: "application/octet-stream")
      {:ok, _} = EventStore.append(store, "links", links)
      test = self()

      hash = fn event ->
        send(test, {event.metadata.stream_name, Event.revision(event)})
        {event, :odd}
      end

      producer = hashed(store, hash, [], "links")
      player = player(producer, partition: :odd)
      ask(player, 3)
      assert received(player, 3) == [0, 1, 2]
      for n <- 0..2, do: assert_receive({"account-1", ^n})
    end

    test "that fails ends the producer with its reason", %{store: store} do
      fill(store, "s", 1)
      producer = hashed(store, fn _event -> raise "cannot tell" end)
      monitor = Process.monitor(producer)
      ask(player(producer, partition: :even), 1)
      assert_receive {:DOWN, ^monitor, :process, ^producer, {%RuntimeError{message: "cannot tell"}, _stack}}
    end

    test "leaves its partition's queue to the successor of a consumer that dies", %{store: store} do
      fill(store, "s", 100)
      producer = hashed(store, &parity/1)
      [even, odd] = players(producer)
      ask(even, 2)
      assert received(even, 1) == [1]
      ask(odd, 40)
      [of_even, of_odd] = for player <- [even, odd], do: received(player)
      assert of_odd != []
      Process.exit(even.pid, :kill)
      successor = player(producer, partition: :even)
      for player <- [successor, odd], do: ask(player, 100)
      assert received(successor, 49 - length(of_even)) == Enum.drop(Enum.to_list(3..99//2), length(of_even))
      assert received(odd, 50 - length(of_odd)) == Enum.drop(Enum.to_list(0..98//2), length(of_odd))
    end

    test "has caught up once what is queued has been given out", %{store: store} do
      fill(store, "s", 30)
      producer = hashed(store, &parity/1)
      [even, odd] = players(producer)
      ask(even, 100)
      assert received(even, 15) == Enum.to_list(1..29//2)
      # all is taken, and half of it queued
      assert await_info(producer, &(&1.ready_events == 0)).state == :reading
      # a message to the producer finds its place behind these events as well
      for _ <- 1..20, do: assert(LinearSubscription.info(producer).state == :reading)
      ask(odd, 14)
      assert received(odd, 14) == Enum.to_list(0..26//2)
      assert LinearSubscription.info(producer).state == :reading
      ask(odd, 1)
      assert received(odd, 1) == [28]
      assert %{revision: 29} = await_info(producer, &(&1.state == :subscribed))
    end

    test "sees the start and the end of a pause as a stage's does", %{store: store} do
      producer = hashed(store, &parity/1)
      [even, odd] = players(producer)
      :ok = Stage.pause(producer)
      for player <- [even, odd], do: ask(player, 10)
      fill(store, "s", 20)
      await_info(producer, &(&1.ready_events == 20))
      for player <- [even, odd], do: assert(received(player) == [])
      :ok = Stage.resume(producer)
      assert received(even, 10) == Enum.to_list(1..19//2)
      assert received(odd, 10) == Enum.to_list(0..18//2)
    end
  end

  describe "a dispatcher of one's own" do
    defp own(store, options \\ []), do: subscribe(store, "s", [dispatcher: FirstComeDispatcher] ++ options)

    test "begins in the producer's process, once", %{store: store} do
      producer = subscribe(store, "s", dispatcher: {FirstComeDispatcher, test: self()})
      assert_receive {:init, ^producer}
      refute_received {:init, _}
    end

    test "deals, and no event is taken that was not asked for", %{store: store} do
      fill(store, "s", 1000)
      producer = own(store)
      await_info(producer, &(&1.ready_events == 1000))
      [first, second] = for _ <- 1..2, do: player(producer, [])
      ask(second, 7)
      assert received(second, 7) == Enum.to_list(0..6)
      assert %{ready_events: 993, revision: 6} = LinearSubscription.info(producer)
      ask(first, 300)
      ask(second, 1000)
      assert received(first, 300) == Enum.to_list(7..306)
      assert received(second, 693) == Enum.to_list(307..999)
      assert %{buffered: 0} = Stage.info(producer)
      assert %{demand: 307, ready_events: 0} = LinearSubscription.info(producer)
    end

    test "gives the demand of one that dies to the next", %{store: store} do
      producer = own(store)
      [first, second] = for _ <- 1..2, do: player(producer, [])
      ask(first, 10)
      Process.exit(first.pid, :kill)
      await_consumers(producer, 1)
      ask(second, 4)
      fill(store, "s", 20)
      assert received(second, 4) == [0, 1, 2, 3]
      # what the dead one has asked for waits where no consumer is, and goes to the next
      await_info(producer, &(&1.ready_events == 10))
      ask(second, 16)
      assert received(second, 16) == Enum.to_list(4..19)
    end

    defp await_consumers(producer, count) do
      if length(Stage.info(producer).consumers) != count, do: await_consumers(producer, count)
    end

    test "says itself who may subscribe", %{store: store} do
      player = player(own(store), refuse: :full)
      assert cancelled(player) == :full
    end

    test "goes on after a lost connection, and messages have as many events as they may", context do
      road = start_supervised!({Cut, Server.port(context.server)})
      fill(context.store, "s", 500)
      producer = own(Cut.uri(road), read_opts: [max_count: 7])
      tag = consume(producer, 400)
      assert revisions(take(producer, tag, 400)) == Enum.to_list(0..399)
      :ok = Cut.cut(road)
      await_info(producer, &(&1.reconnects == 1))
      StageWire.ask(producer, tag, 100)
      batches = batches(producer, tag, 100)
      assert batches |> Enum.concat() |> revisions() == Enum.to_list(400..499)
      assert Enum.all?(batches, &(length(&1) in 1..7))
    end

    defp batches(_producer, _tag, 0), do: []

    defp batches(producer, tag, count) do
      assert_receive {:"$gen_consumer", {^producer, ^tag}, events}, 10_000
      [events | batches(producer, tag, count - length(events))]
    end

    test "gets large events as well, in their place", %{store: store} do
      text = String.duplicate("x", 400_000)
      bodies = for n <- 1..9, do: if(rem(n, 3) == 0, do: %{"n" => n, "text" => text}, else: %{"n" => n})
      for body <- bodies, do: {:ok, _} = EventStore.append(store, "s", [Event.new("Sized", body)])
      producer = own(store)
      tag = consume(producer, 9)
      assert for(event <- take(producer, tag, 9), do: event.body) == bodies
    end

    test "is given what came before the end of all, and that comes last", %{store: store} do
      fill(store, "s", 40)
      {:ok, _} = EventStore.append(store, "s", [Event.new("Large", %{"text" => String.duplicate("x", 5000)})])
      producer = own(store, max_message_size: 2000)
      monitor = Process.monitor(producer)
      tag = consume(producer, 30)
      assert producer |> take(tag, 30) |> revisions() == Enum.to_list(0..29)
      assert await_info(producer, &(&1.state == :stopped)).ready_events == 10
      StageWire.ask(producer, tag, 100)
      assert producer |> take(tag, 10) |> revisions() == Enum.to_list(30..39)
      assert_receive {:DOWN, ^monitor, :process, ^producer, %Error{reason: :message_too_large}}
    end

    test "logs what happens to the connection as any subscription does", %{store: store, server: server} do
      fill(store, "s", 5)

      lines =
        logged(fn ->
          producer = own(store)
          tag = consume(producer, 10)
          take(producer, tag, 5)
          await_info(producer, &(&1.state == :subscribed))
          Server.stop(server)
          await_info(producer, &(&1.last_error != nil))
          producer
        end)

      assert Enum.any?(lines, &(&1 =~ "has caught up after revision 4"))
      assert Enum.any?(lines, &(&1 =~ "was dropped"))
    end
  end

  describe "a rate" do
    test "lets so many events go in an interval, and the rest wait in the core", %{store: store} do
      fill(store, "s", 100)
      producer = subscribe(store, "s", dispatcher: {Penstock.DemandDispatcher, rate: {10, 3_600_000}})
      await_info(producer, &(&1.ready_events == 100))
      player = player(producer, [])
      ask(player, 50)
      assert received(player, 10) == Enum.to_list(0..9)
      assert received(player) == []
      assert %{ready_events: 90} = LinearSubscription.info(producer)
      assert [%{demand: 40}] = Stage.info(producer).consumers
    end

    test "goes on with the next interval", %{store: store} do
      fill(store, "s", 100)
      producer = subscribe(store, "s", dispatcher: {Penstock.DemandDispatcher, rate: {30, 1}})
      player = player(producer, filter: &(rem(&1.body["n"], 2) == 0))
      ask(player, 50)
      assert received(player, 50) == Enum.to_list(1..99//2)
    end
  end

  test "one that ends is started again by its supervisor, with all that it had", %{store: store} do
    fill(store, "s", 10)
    name = :"hosted_#{System.unique_integer([:positive])}"
    options = [name: name, connection: store, stream_name: "s", dispatcher: FirstComeDispatcher]
    child = {LinearSubscription, options ++ [restore_stream_position!: fn -> 4 end]}
    start_supervised!(%{id: name, start: {Supervisor, :start_link, [[child], [strategy: :one_for_all]]}})
    producer = GenServer.whereis(name)
    assert %{module: LinearSubscription, type: :producer} = Stage.info(producer)
    tag = consume(producer, 10)
    assert producer |> take(tag, 5) |> revisions() == [5, 6, 7, 8, 9]
    monitor = Process.monitor(producer)
    Process.exit(producer, :kill)
    assert_receive {:DOWN, ^monitor, :process, ^producer, :killed}
    again = another(name, producer)
    tag = consume(again, 10)
    assert again |> take(tag, 5) |> revisions() == [5, 6, 7, 8, 9]
  end

  defp another(name, gone) do
    case GenServer.whereis(name) do
      pid when is_pid(pid) and pid != gone -> pid
      _not_yet -> another(name, gone)
    end
  end

  test "what anybody sends is of no consequence", %{store: store} do
    fill(store, "s", 10)
    producer = subscribe(store, "s", dispatcher: FirstComeDispatcher)
    for what <- [:passed, :placed, :ready, :what, {:a, 1}], do: send(producer, {:penstock, what})
    player = player(producer, [])
    ask(player, 10)
    assert received(player, 10) == Enum.to_list(0..9)
    cancel(player, :enough)
    assert cancelled(player) == :enough
  end
end
