defmodule Penstock.OddArgumentsTest do
  # Every public argument with values that it does not take: either it works all the same, or an error names the
  # argument. Nothing of Elixir's or the VM's own comes through ("argument error", a function clause).
  use ExUnit.Case, async: true

  alias Penstock.{Error, Event, EventStore, LinearSubscription, Store}

  @moduletag :capture_log

  setup_all do
    context = Store.start()
    Store.fill(context.store, "s", 3)
    context
  end

  setup do
    Process.flag(:trap_exit, true)
    :ok
  end

  defp odd do
    [
      nil,
      true,
      :undefined,
      :odd,
      -1,
      0,
      1,
      0x7FFF_FFFF,
      0xFFFF_FFFF,
      0x1_0000_0000,
      0x10_0000_0000,
      0x7FFF_FFFF_FFFF_FFFF,
      0x8000_0000_0000_0000,
      0x1_0000_0000_0000_0000,
      Bitwise.bsl(1, 2000),
      -0x1_0000_0000_0000_0000,
      1.5,
      "",
      "odd",
      "o\0dd",
      <<255>>,
      <<1::3>>,
      ~c"odd",
      [],
      [1 | 2],
      [:odd],
      [odd: 1],
      [odd: 1, odd: 2],
      %{},
      %{__struct__: :odd},
      %Event{},
      {},
      {:odd},
      {:odd, :odd},
      {:odd, :odd, :odd},
      {:via, :odd, :odd},
      {:global, :odd},
      self(),
      make_ref(),
      &Function.identity/1,
      fn -> <<255>> end,
      Date.range(~D[2026-01-01], ~D[2026-01-02])
    ]
  end

  # `name` is how an error has to call what is wrong.
  defp judge(value, name, call) do
    outcome =
      try do
        call.(value)
      rescue
        error -> {:raised, error}
      catch
        kind, reason -> {kind, reason}
      end

    assert fine?(outcome, name),
           "#{inspect(name)} #{inspect(value, limit: 5)}: #{inspect(outcome, limit: 20)}"
  end

  defp fine?({:ok, started}, _name) when is_pid(started) do
    GenServer.stop(started)
    true
  end

  defp fine?({:ok, _answer}, _name), do: true
  defp fine?(%Event{}, _name), do: true
  defp fine?({:raised, %ArgumentError{message: message}}, name), do: named?(message, name)
  defp fine?({:error, {%ArgumentError{message: message}, _stack}}, name), do: named?(message, name)
  defp fine?({:error, {%Error{} = error, _stack}}, name), do: fine?({:error, error}, name)

  defp fine?({:error, %Error{message: message, details: details}}, name),
    do: named?(message, name) or (is_map_key(details, :option) and named?(inspect(details.option), name))

  # A start that had no time.
  defp fine?({:error, :timeout}, ":timeout"), do: true
  defp fine?(_other, _name), do: false

  defp named?(message, name), do: message =~ name

  defp subscription(options, uri) do
    [connection: uri, stream_name: "s", restore_stream_position!: fn -> :start end]
    |> Keyword.merge(options)
    |> LinearSubscription.start_link()
  end

  for option <- Keyword.keys(LinearSubscription.Settings.schema()) do
    test "a subscription's #{inspect(option)}", %{uri: uri} do
      for value <- odd(),
          do: judge(value, wrong(unquote(option)), &subscription([{unquote(option), &1}], uri))
    end
  end

  # A connection string is what its own errors are about.
  defp wrong(:connection), do: ~r/connection|scheme/
  defp wrong(option), do: inspect(option)

  for option <- Keyword.keys(LinearSubscription.Settings.read_schema()) do
    test "a subscription's read option #{inspect(option)}", %{uri: uri} do
      for value <- odd(),
          do: judge(value, inspect(unquote(option)), &subscription([read_opts: [{unquote(option), &1}]], uri))
    end
  end

  test "a restored position", %{uri: uri} do
    revisions = for revision <- odd(), do: %Event{metadata: %{stream_revision: revision}}
    places = for metadata <- odd(), do: %Event{metadata: metadata}

    for value <- odd() ++ revisions ++ places,
        do:
          judge(
            value,
            ":restore_stream_position!",
            &subscription([restore_stream_position!: fn -> &1 end], uri)
          )
  end

  test "options as a whole", %{store: store} do
    for value <- odd() do
      judge(value, ~r/keyword list|unknown option|required|than once/, &LinearSubscription.start_link/1)
      judge(value, ~r/keyword list|unknown option|required|than once/, &EventStore.start_link/1)
      judge(value, ~r/keyword list|unknown option|than once/, &EventStore.read(store, "s", &1))
      judge(value, ~r/keyword list|unknown option|than once/, &EventStore.append(store, "s", [], &1))
      judge(value, "options of an event", &Event.new("t", 1, &1))

      unless value == [],
        do: judge(value, ~r/keyword list|unknown option|than once/, &EventStore.Server.start_link/1)
    end
  end

  test "a store's connection string and name", %{uri: uri} do
    for value <- odd() do
      judge(
        value,
        ~r/connection.string|scheme/,
        &EventStore.start_link(connection_string: &1)
      )

      judge(value, ":name", &EventStore.start_link(connection_string: uri, name: &1))
    end
  end

  test "the connection of a call" do
    for value <- odd() do
      judge(value, "the connection", &EventStore.read(&1, "s"))
      judge(value, "the connection", &EventStore.append(&1, "s", []))
    end
  end

  test "the stream's name", %{store: store} do
    long = String.duplicate("x", 100_000)

    for value <- odd() ++ [long, "$all"] do
      judge(value, "stream", &EventStore.read(store, &1))
      judge(value, "stream", &EventStore.append(store, &1, []))
      judge(value, ":stream_name", &subscription([stream_name: &1], "esdb://127.0.0.1:1?tls=false"))
    end
  end

  test "options of append and read", %{store: store} do
    for value <- odd() do
      judge(value, ~r/:expect|expected/, &EventStore.append(store, "odd", Event.new("t", 1), expect: &1))

      # A read that may take a millisecond may well take longer.
      for option <- Keyword.keys(EventStore.Settings.read()),
          direction <- [:forwards, :backwards],
          do:
            judge(
              value,
              if(option == :timeout, do: ~r/timeout|direction|within 1 ms/, else: ~r/#{option}|direction/),
              &EventStore.read(store, "s", Keyword.merge([direction: direction], [{option, &1}]))
            )
    end
  end

  test "what is appended", %{store: store} do
    event = Event.new("t", 1)

    for value <- odd() do
      judge(value, ~r/takes events made by|of an event/, &EventStore.append(store, "odd", &1))
      judge(value, ~r/takes events made by|of an event/, &EventStore.append(store, "odd", [event, &1]))
      judge(value, "type of an event", &EventStore.append(store, "odd", %{event | type: &1}))
      judge(value, ":id of an event", &EventStore.append(store, "odd", %{event | id: &1}))
      judge(value, "event's body", &EventStore.append(store, "odd", %{event | body: &1}))
      judge(value, ~r/metadata|content_type/, &EventStore.append(store, "odd", %{event | metadata: &1}))

      for key <- [:content_type, :custom_metadata, :raw_body] do
        changed = %{event | metadata: Map.put(event.metadata, key, value)}
        judge(changed, ~r/#{key}/, &EventStore.append(store, "odd", &1))
      end
    end
  end

  test "a new event" do
    for value <- odd() do
      judge(value, "type of an event", &Event.new(&1, 1))
      judge(value, "body", &Event.new("t", &1, content_type: "application/octet-stream"))

      for option <- [:id, :content_type, :custom_metadata],
          do: judge(value, "#{option}", &Event.new("t", 1, [{option, &1}]))
    end
  end

  test "a server's port, folder and name" do
    # only what is no path: the rest would be made
    for value <- odd(), value not in ["odd"] do
      judge(value, ~r/:data_dir|data folder/, &EventStore.Server.start_link(port: 0, data_dir: &1))
      judge(value, ":name", &EventStore.Server.start_link(port: 0, name: &1))
    end

    for value <- odd(), value not in [1], do: judge(value, ":port", &EventStore.Server.start_link(port: &1))
    assert {:error, error} = EventStore.Server.start_link(port: 0, port: 0)
    assert error.message == "option :port is given more than once"
  end

  # A compiler that sees the charlist, and infers that it is refused, warns.
  @tag paid: ~c"paid"
  test "charlists, other clients' numbers and numbers beyond 64 bits are explained", %{
    store: store,
    paid: paid
  } do
    for {call, text} <- [
          {fn -> EventStore.read(store, ~c"orders") end, ~s(a charlist: write "orders")},
          {fn -> Event.new(paid, 1) end, ~s(a charlist: write "paid")},
          {fn -> EventStore.append(store, "s", [], expect: -1) end,
           "-1, -2 and -4 of other clients are :no_stream"},
          {fn -> EventStore.read(store, "s", from: 0x8000_0000_0000_0000) end,
           "more than 9223372036854775807"},
          {fn -> subscription([timeout: 0x10_0000_0000], "esdb://h") end,
           "longest that a timer of the VM runs"},
          {fn -> EventStore.read(store, "$all") end, "log of all streams"},
          {fn -> EventStore.read(store, <<255>>) end, "no UTF-8"}
        ] do
      error = assert_raise ArgumentError, call
      assert error.message =~ text
    end
  end
end
