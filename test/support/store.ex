defmodule Penstock.Store do
  @moduledoc false
  # A server of a test's own, what is written to it, and who reads from it.

  import ExUnit.Callbacks

  alias Penstock.{Event, EventStore, LinearSubscription, StageWire}
  alias Penstock.EventStore.Server

  def start(options \\ []) do
    server = start_supervised!({Server, [port: 0] ++ options}, id: make_ref(), restart: :temporary)
    uri = Server.connection_string(server)
    store = start_supervised!({EventStore, connection_string: uri}, id: make_ref())
    %{server: server, uri: uri, store: store}
  end

  def temporary_dir do
    path = Path.join(System.tmp_dir!(), "penstock-#{System.unique_integer([:positive])}-#{System.pid()}")
    on_exit(fn -> File.rm_rf!(path) end)
    path
  end

  @doc "Appends as many events, with their numbers as bodies."
  def fill(store, stream, count) do
    for numbers <- Enum.chunk_every(1..count, 1000) do
      {:ok, _} =
        EventStore.append(store, stream, for(number <- numbers, do: Event.new("Numbered", %{"n" => number})))
    end

    :ok
  end

  @doc "Appends events of these types."
  def append_types(store, stream, types) do
    {:ok, _} = EventStore.append(store, stream, for(type <- types, do: Event.new(type, %{})))
    :ok
  end

  def subscribe(store, stream, options \\ []) do
    defaults = [connection: store, stream_name: stream, restore_stream_position!: fn -> :start end]

    start_supervised!({LinearSubscription, Keyword.merge(defaults, options)},
      id: make_ref(),
      restart: :temporary
    )
  end

  @doc "Subscribes the test itself and asks for so many events."
  def consume(producer, demand) do
    tag = StageWire.subscribe(producer)
    if demand > 0, do: StageWire.ask(producer, tag, demand)
    tag
  end

  @doc "Receives events under this tag until there are `count`."
  def take(producer, tag, count, within \\ 10_000, taken \\ [])
  def take(_producer, _tag, 0, _within, taken), do: taken |> Enum.reverse() |> Enum.concat()

  def take(producer, tag, count, within, taken) do
    receive do
      {:"$gen_consumer", {^producer, ^tag}, events} when is_list(events) ->
        take(producer, tag, count - length(events), within, [events | taken])
    after
      within ->
        ExUnit.Assertions.flunk("#{count} events more were to come; there came #{length(Enum.concat(taken))}")
    end
  end

  def revisions(events), do: Enum.map(events, & &1.metadata.stream_revision)

  @doc "Asks for info until it is as wanted: a state is reached when all before it was handled, not at a time."
  def await_info(producer, wanted) do
    info = LinearSubscription.info(producer)
    if wanted.(info), do: info, else: await_info(producer, wanted)
  end

  @doc "The lines that a subscription logs while `run` runs; `run` answers which it is."
  def logged(run) do
    test = self()
    log = ExUnit.CaptureLog.capture_log(fn -> send(test, {:producer, run.()}) end)

    receive do
      {:producer, producer} ->
        name = "LinearSubscription #{inspect(producer)} of"
        for line <- String.split(log, "\n"), line =~ name, do: line
    end
  end
end
