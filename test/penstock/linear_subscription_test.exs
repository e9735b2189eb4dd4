defmodule Penstock.LinearSubscriptionTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog
  import Penstock.Store

  alias Penstock.{Error, Event, EventStore, LinearSubscription, StageWire}
  alias Penstock.EventStore.Server

  @moduletag :capture_log

  setup do
    start()
  end

  describe "modes" do
    test "it emits what is there on demand, and then what is appended", %{store: store} do
      fill(store, "s", 5)
      producer = subscribe(store, "s")
      tag = consume(producer, 3)
      assert producer |> take(tag, 3) |> revisions() == [0, 1, 2]
      assert await_info(producer, &(&1.ready_events == 2)).state == :reading
      StageWire.ask(producer, tag, 10)
      assert producer |> take(tag, 2) |> revisions() == [3, 4]
      assert await_info(producer, &(&1.state == :subscribed)).demand == 8
      fill(store, "s", 2)
      assert producer |> take(tag, 2) |> revisions() == [5, 6]
    end

    test "the change to subscription mode is logged with the revision", %{store: store} do
      fill(store, "logged", 2)

      log =
        capture_log(fn ->
          producer = subscribe(store, "logged")
          consume(producer, 10)
          await_info(producer, &(&1.state == :subscribed))
        end)

      assert log =~ ~s(of "logged" has caught up after revision 1)
    end

    test "a stream that does not exist is waited for", %{store: store} do
      producer = subscribe(store, "later")
      tag = consume(producer, 10)
      assert %{revision: nil, demand: 10} = await_info(producer, &(&1.state == :subscribed))
      fill(store, "later", 1)
      assert [%Event{body: %{"n" => 1}}] = take(producer, tag, 1)
    end

    test "accumulated demand is served when it is to be forwarded", %{store: store} do
      fill(store, "s", 2)
      producer = subscribe(store, "s", demand: :accumulate)
      tag = consume(producer, 5)
      assert await_info(producer, &(&1.ready_events == 2)).demand == 5
      refute_received {:"$gen_consumer", _, _}
      assert Penstock.Stage.demand(producer) == :accumulate
      Penstock.Stage.demand(producer, :forward)
      assert producer |> take(tag, 2) |> revisions() == [0, 1]
      assert Penstock.Stage.demand(producer) == :forward
    end
  end

  describe "positions" do
    setup %{store: store} do
      fill(store, "s", 4)
    end

    for {position, first} <- [start: 0, "revision 0": 1, "revision 2": 3] do
      test "#{position} begins with event #{first}", %{store: store} do
        position =
          case unquote(to_string(position)) do
            "start" -> :start
            "revision " <> revision -> String.to_integer(revision)
          end

        producer = subscribe(store, "s", restore_stream_position!: fn -> position end)
        tag = consume(producer, 10)
        count = 4 - unquote(first)
        assert producer |> take(tag, count) |> revisions() == Enum.to_list(unquote(first)..3)
      end
    end

    test "the end begins with what is appended after the start", %{store: store} do
      producer = subscribe(store, "s", restore_stream_position!: fn -> :end end)
      tag = consume(producer, 10)
      await_info(producer, &(&1.state == :subscribed))
      fill(store, "s", 1)
      assert producer |> take(tag, 1) |> revisions() == [4]
    end

    test "an event begins with the one after it", %{store: store} do
      {:ok, [_, second | _]} = EventStore.read(store, "s")
      producer = subscribe(store, "s", restore_stream_position!: {Function, :identity, [second]})
      assert producer |> take(consume(producer, 10), 2) |> revisions() == [2, 3]
    end

    test "a link begins with the one after the link", %{store: store} do
      links =
        for revision <- 0..2, do: Event.new("$>", "#{revision}@s", content_type: "application/octet-stream")

      {:ok, _} = EventStore.append(store, "links", links)
      {:ok, [first | _]} = EventStore.read(store, "links")

      assert {first.type, first.metadata.stream_name, first.link.metadata.stream_name} ==
               {"Numbered", "s", "links"}

      producer = subscribe(store, "links", restore_stream_position!: fn -> first end)
      assert [second, third] = take(producer, consume(producer, 10), 2)
      assert Enum.map([second, third], &Event.revision/1) == [1, 2]
    end

    test "it is restored at every start, in the producer's process", %{store: store} do
      test = self()

      restore = fn ->
        send(test, {:restored_in, self()})
        1
      end

      for _ <- 1..2 do
        producer = subscribe(store, "s", restore_stream_position!: restore)
        assert_receive {:restored_in, ^producer}
      end
    end
  end

  describe "events" do
    test "have the shape that handlers expect", %{store: store} do
      id = "0a9f4e2e-5c1a-4a3d-9b52-111111111111"

      {:ok, _} =
        EventStore.append(store, "s", Event.new("Placed", %{"total" => 9.5}, id: id, custom_metadata: "mine"))

      producer = subscribe(store, "s")
      assert [event] = take(producer, consume(producer, 1), 1)
      assert %Event{id: ^id, type: "Placed", body: %{"total" => 9.5}, link: nil, metadata: metadata} = event

      assert metadata |> Map.keys() |> Enum.sort() == [
               :commit_position,
               :content_type,
               :created,
               :custom_metadata,
               :prepare_position,
               :producer,
               :stream_name,
               :stream_revision,
               :subscription
             ]

      assert %{content_type: "application/json", custom_metadata: "mine", producer: ^producer} = metadata
      assert %{stream_name: "s", stream_revision: 0} = metadata
      assert abs(DateTime.diff(DateTime.utc_now(), metadata.created)) < 60
      assert is_reference(metadata.subscription)
    end

    test "name the producer by its name", %{store: store} do
      fill(store, "s", 1)
      producer = subscribe(store, "s", name: Penstock.NamedProducer)
      assert [%{metadata: %{producer: Penstock.NamedProducer}}] = take(producer, consume(producer, 1), 1)
    end

    test "have raw bodies when asked for", %{store: store} do
      fill(store, "s", 1)
      producer = subscribe(store, "s", json: :raw)
      assert [%{body: ~s({"n":1})}] = take(producer, consume(producer, 1), 1)
    end

    test "larger than a scheduler may take at once are decoded all the same", %{store: store} do
      large = %{"numbers" => Enum.to_list(1..150_000)}
      {:ok, _} = EventStore.append(store, "s", [Event.new("Large", large)])
      {:ok, _} = EventStore.append(store, "s", [Event.new("Small", 1)])
      {:ok, _} = EventStore.append(store, "s", [Event.new("Large", large)])
      producer = subscribe(store, "s")
      assert [%{body: ^large}, %{body: 1}, %{body: ^large}] = take(producer, consume(producer, 5), 3)
    end

    test "come in messages of at most max_count", %{store: store} do
      fill(store, "s", 50)
      producer = subscribe(store, "s", read_opts: [max_count: 7])
      await_info(producer, &(&1.ready_events == 50))
      tag = consume(producer, 50)
      take(producer, tag, 0)

      sizes =
        for _ <- 1..8 do
          assert_receive {:"$gen_consumer", {^producer, ^tag}, events}
          length(events)
        end

      assert Enum.max(sizes) == 7 and Enum.sum(sizes) == 50
    end
  end

  describe "an end that asking again cannot change" do
    test "ends the process with the reason, once what came before it was emitted", %{server: server, uri: uri} do
      port = Server.port(server)
      store = start_supervised!({EventStore, connection_string: uri})
      fill(store, "s", 3)
      producer = subscribe(store, "s")
      await_info(producer, &(&1.ready_events == 3))
      :ok = Server.stop(server)
      test = self()

      Penstock.Answerer.start(
        fn _, stream ->
          send(test, :asked)
          [Penstock.Answerer.head(stream, "404", "text/html"), Penstock.Answerer.ended(stream)]
        end,
        port
      )

      monitor = Process.monitor(producer)
      tag = consume(producer, 1)
      assert producer |> take(tag, 1) |> revisions() == [0]
      assert_receive :asked, 10_000
      assert %{ready_events: 2} = LinearSubscription.info(producer)
      StageWire.ask(producer, tag, 10)
      assert producer |> take(tag, 2) |> revisions() == [1, 2]
      assert_receive {:DOWN, ^monitor, :process, _, %Error{reason: :protocol, message: message}}
      assert message =~ "does not speak gRPC"
    end
  end

  test "info names all it promises", %{store: store} do
    producer = subscribe(store, "none")

    assert producer |> await_info(&(&1.state == :subscribed)) |> Map.drop([:state]) == %{
             stream_name: "none",
             revision: nil,
             position: nil,
             demand: 0,
             ready_events: 0,
             ready_bytes: 0,
             reconnects: 0,
             stale_events: 0,
             unknown_messages: 0,
             position_beyond_end: nil,
             last_error: nil
           }
  end

  test "an unexpected message is logged and of no consequence", %{store: store} do
    producer = subscribe(store, "s")

    assert capture_log(fn ->
             send(producer, :hello)
             assert %{} = LinearSubscription.info(producer)
           end) =~ "unexpected message: :hello"
  end
end
