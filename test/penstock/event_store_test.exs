defmodule Penstock.EventStoreTest do
  use ExUnit.Case, async: true

  import Penstock.Store

  alias Penstock.{Error, Event, EventStore}

  setup do
    start()
  end

  defp events(count), do: for(number <- 1..count, do: Event.new("T", %{"n" => number}))

  describe "append" do
    test "answers the last revision and its position", %{store: store} do
      assert {:ok, %{revision: 0, position: %Penstock.Position{}}} =
               EventStore.append(store, "s", Event.new("T", 1))

      assert {:ok, %{revision: 3}} = EventStore.append(store, "s", events(3))
    end

    test "expects what it is told to", %{store: store} do
      assert {:ok, %{revision: 0}} = EventStore.append(store, "s", events(1), expect: :no_stream)
      assert {:ok, %{revision: 1}} = EventStore.append(store, "s", events(1), expect: 0)
      assert {:ok, %{revision: 2}} = EventStore.append(store, "s", events(1), expect: :stream_exists)

      for {expect, stream, actual} <- [
            {:no_stream, "s", 2},
            {7, "s", 2},
            {:stream_exists, "none", :no_stream},
            {0, "none", :no_stream}
          ] do
        assert {:error, %Error{reason: :wrong_expected_version, retry?: false} = error} =
                 EventStore.append(store, stream, events(1), expect: expect)

        assert error.details == %{stream: stream, expected: expect, actual: actual}
        assert error.message =~ inspect(stream)
      end
    end

    test "writes the same events once", %{store: store} do
      events = events(2)
      {:ok, first} = EventStore.append(store, "s", events)
      assert {:ok, ^first} = EventStore.append(store, "s", events)
      assert {:ok, [_, _]} = EventStore.read(store, "s")
    end

    test "again is the same append, as long as it expects the same", %{store: store} do
      for {expect, first} <- [{:any, 0}, {:stream_exists, 2}, {3, 4}] do
        events = events(2)
        last = first + 1
        assert {:ok, %{revision: ^last} = answer} = EventStore.append(store, "s", events, expect: expect)
        assert {:ok, ^answer} = EventStore.append(store, "s", events, expect: expect)
      end

      events = events(2)
      assert {:ok, %{revision: 1} = answer} = EventStore.append(store, "t", events, expect: :no_stream)
      assert {:ok, ^answer} = EventStore.append(store, "t", events, expect: :no_stream)
      # the current revision says that they come on top
      assert {:ok, %{revision: 3}} = EventStore.append(store, "t", events, expect: 1)
      assert {:ok, [_, _, _, _]} = EventStore.read(store, "t")
    end

    test "of events of which some are there is decided by the first, and says so", %{store: store} do
      [one, two, three] = events(3)
      {:ok, _} = EventStore.append(store, "s", [one, two])

      for expect <- [:any, :stream_exists] do
        assert {:error, %Error{reason: :wrong_expected_version, message: message}} =
                 EventStore.append(store, "s", [one, three], expect: expect)

        assert message =~ ~s(the stream "s" has some of these events already)
        assert message =~ "nothing was written; it is at revision 1"
      end

      assert {:ok, %{revision: 3}} = EventStore.append(store, "s", [three, one])
    end

    test "of what is too large is refused with the limit, and nothing is written", %{store: store} do
      large = Event.new("T", String.duplicate("x", 1_100_000), content_type: "application/octet-stream")

      assert {:error, %Error{reason: :maximum_append_size_exceeded, details: %{maximum: 1_048_576}}} =
               EventStore.append(store, "s", [Event.new("T", 1), large])

      assert {:error, %Error{reason: :stream_not_found}} = EventStore.read(store, "s")
    end

    test "of nothing succeeds", %{store: store} do
      assert {:ok, %{revision: nil}} = EventStore.append(store, "s", [])
    end

    test "refuses what is no event, and a body that is no JSON, by what it is", %{store: store} do
      assert_raise ArgumentError, ~r/takes events made by Penstock.Event.new/, fn ->
        EventStore.append(store, "s", %{})
      end

      assert_raise ArgumentError, ~r/is a pid/, fn ->
        EventStore.append(store, "s", Event.new("T", %{"pid" => self()}))
      end
    end

    test "refuses options and names that are none", %{store: store} do
      assert_raise ArgumentError, ~r/:expect takes :any, :no_stream.*got: -1/, fn ->
        EventStore.append(store, "s", [], expect: -1)
      end

      assert_raise ArgumentError, ~r/name takes a string that is not empty, got: ""/, fn ->
        EventStore.append(store, "", [])
      end
    end
  end

  describe "read" do
    setup %{store: store} do
      fill(store, "s", 5)
    end

    test "goes forwards from the start unless told otherwise", %{store: store} do
      {:ok, read} = EventStore.read(store, "s")
      assert revisions(read) == [0, 1, 2, 3, 4]
      assert hd(read).body == %{"n" => 1}
    end

    for {options, expected} <- [
          {[max_count: 2], [0, 1]},
          {[from: 3], [3, 4]},
          {[from: :end, direction: :backwards], [4, 3, 2, 1, 0]},
          {[from: 2, direction: :backwards, max_count: 2], [2, 1]},
          {[from: 0, direction: :backwards], [0]},
          {[from: 9], []},
          {[from: :end], []}
        ] do
      test "#{inspect(options)} gives #{inspect(expected)}", %{store: store} do
        {:ok, read} = EventStore.read(store, "s", unquote(options))
        assert revisions(read) == unquote(expected)
      end
    end

    test "leaves bodies as they are when asked to", %{store: store} do
      assert {:ok, [%{body: ~s({"n":1})}]} = EventStore.read(store, "s", max_count: 1, json: :raw)
    end

    test "of a stream that does not exist says so", %{store: store} do
      assert {:error, %Error{reason: :stream_not_found, retry?: true, details: %{stream: "none"}} = error} =
               EventStore.read(store, "none")

      assert Exception.message(error) =~ ~s("none")
    end

    test "of more than fits one message is whole", %{store: store} do
      fill(store, "long", 5000)
      {:ok, read} = EventStore.read(store, "long", max_count: 10_000)
      assert revisions(read) == Enum.to_list(0..4999)
    end

    test "refuses options that are none", %{store: store} do
      for {options, text} <- [
            {[from: -1],
             ~r/:from takes :start, :end, an integer from 0 on, or of :all a Penstock.Position, got: -1/},
            {[max_count: 0], ~r/:max_count takes an integer from 1 on, got: 0/},
            {[direction: :up], ~r/:direction takes :forwards, :backwards, got: :up/},
            {[count: 1], ~r/unknown option :count; it takes :from/}
          ] do
        assert_raise ArgumentError, text, fn -> EventStore.read(store, "s", options) end
      end
    end
  end

  test "calls of many processes at once do not wait for one another", %{store: store} do
    tasks =
      for number <- 1..200,
          do: Task.async(fn -> EventStore.append(store, "s-#{rem(number, 7)}", events(3)) end)

    assert Enum.all?(Task.await_many(tasks, 30_000), &match?({:ok, _}, &1))
  end

  test "a server that went away is unavailable, and used again when it is back", %{
    server: server,
    store: store,
    uri: uri
  } do
    fill(store, "s", 1)
    port = EventStore.Server.port(server)
    :ok = EventStore.Server.stop(server)
    assert {:error, %Error{reason: :unavailable, retry?: true}} = EventStore.read(store, "s")
    start_supervised!({EventStore.Server, port: port, data_dir: :memory})
    assert {:error, %Error{reason: :stream_not_found}} = EventStore.read(store, "s")
    assert uri =~ "#{port}"
  end

  test "a peer that speaks something else is named as such" do
    peer = Penstock.OtherPeer.listen(0)
    uri = "esdb://127.0.0.1:#{Penstock.OtherPeer.port(peer)}?tls=false"

    calls = [
      &EventStore.read(&1, "s"),
      &EventStore.append(&1, "s", events(1))
    ]

    # over a connection that was not used yet, and over one that is just ending
    for first <- calls, then <- calls do
      store = start_supervised!({EventStore, connection_string: uri}, id: make_ref())

      for call <- [first, then] do
        assert {:error, %Error{reason: :protocol, retry?: false, message: message}} = call.(store)
        assert message =~ ~s(it answered "HTTP/1.1 400 Bad Request")
      end
    end
  end

  describe "start_link" do
    setup do
      Process.flag(:trap_exit, true)
      :ok
    end

    for {string, text} <- [
          {"http://localhost:2113", "scheme"},
          {"esdb://", "host"},
          {"esdb://localhost:70000?tls=false", "port"},
          {"esdb://localhost?tls=maybe", "tls"},
          {"esdb://localhost?tsl=false", "tsl"},
          {"esdb://localhost?tls=false&tls=true", "tls"},
          {"esdb://localhost?tls=false&keepAliveInterval=soon", "keepAliveInterval"}
        ] do
      test "refuses #{string} and names what is wrong with it" do
        assert {:error, %Error{reason: :invalid_connection_string} = error} =
                 EventStore.start_link(connection_string: unquote(string))

        assert error.message =~ unquote(text)
      end
    end

    test "needs neither a server nor a cluster at the start, encrypted or not" do
      for string <- ["esdb+discover://localhost?tls=false", "esdb://one,two?tlsVerifyCert=false"] do
        assert {:ok, store} = EventStore.start_link(connection_string: string)
        GenServer.stop(store)
      end
    end

    test "refuses a file that cannot be used, by key and name" do
      assert {:error, %Error{reason: :invalid_connection_string, message: message}} =
               EventStore.start_link(connection_string: "esdb://localhost?tlsCaFile=%2Fno%2Fca.pem")

      assert message =~ ~s(the file "/no/ca.pem" of tlsCaFile cannot be read)
    end

    test "never shows a password" do
      string = "esdb://admin:secret99@localhost?tlsCaFile=%2Fno%2Fca.pem"
      assert {:error, error} = EventStore.start_link(connection_string: string)
      refute inspect(error) =~ "secret99"
    end

    test "refuses options that are none" do
      assert_raise ArgumentError, ~r/:connection_string is required/, fn -> EventStore.start_link([]) end

      assert_raise ArgumentError, ~r/unknown option :uri/, fn ->
        EventStore.start_link(uri: "esdb://localhost")
      end
    end
  end
end
