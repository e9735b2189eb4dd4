defmodule Penstock.EventStore do
  @moduledoc """
  A connection to an EventStoreDB or KurrentDB server: appends, reads, and what subscriptions are started with.

      {:ok, server} = Penstock.EventStore.Server.start_link(port: 0, data_dir: :memory)
      {:ok, store} = Penstock.EventStore.start_link(connection_string: Penstock.EventStore.Server.connection_string(server))

      {:ok, %{revision: 0}} =
        Penstock.EventStore.append(store, "orders-1", [Penstock.Event.new("OrderPlaced", %{"total" => 9.5})])

      {:ok, [%Penstock.Event{type: "OrderPlaced"}]} = Penstock.EventStore.read(store, "orders-1")

  The process keeps the connection; calls do not pass through it, so one slow call never holds up another. The server
  need not be there at start: it is connected to when the first call needs it, and again whenever it was lost.

  ## Options

  #{Penstock.Options.docs(Penstock.EventStore.Settings.start())}

  ## Errors

  Calls return `{:error, %Penstock.Error{}}`; see there for the reasons and whether the same call can help later. An
  argument that no server would take raises an `ArgumentError`.
  """

  use GenServer

  alias Penstock.{Error, Event, Native, Options}
  alias Penstock.EventStore.Settings

  @type connection :: GenServer.server()
  @type expectation :: :any | :no_stream | :stream_exists | non_neg_integer
  @type appended :: %{revision: non_neg_integer | nil, position: {non_neg_integer, non_neg_integer} | nil}

  @doc "Starts a connection; a connection string that cannot be used is `{:error, %Penstock.Error{}}`."
  @spec start_link(keyword) :: GenServer.on_start()
  def start_link(options) do
    settings = Options.validate!(options, Settings.start(), "Penstock.EventStore")
    named = if settings.name, do: [name: settings.name], else: []
    GenServer.start_link(__MODULE__, settings.connection_string, named)
  end

  @doc """
  Appends events to a stream, all or none of them.

  Takes a `Penstock.Event`, see `Penstock.Event.new/3`, or a list of them. Their ids make an append repeatable: the
  same events again are not written again.

  ## Options

  #{Options.docs(Settings.append())}

  ## Errors

  `:wrong_expected_version` (with `details.expected` and `details.actual`), `:stream_deleted`,
  `:maximum_append_size_exceeded`, and those of the connection. After `:deadline_exceeded` or `:unavailable` the
  append may have been written or not: append the same events again.
  """
  @spec append(connection, String.t(), Event.t() | [Event.t()], keyword) ::
          {:ok, appended} | {:error, Error.t()}
  def append(connection, stream, events, options \\ []) do
    options = Options.validate!(options, Settings.append(), "Penstock.EventStore.append")
    native = handle(connection)
    events = events |> List.wrap() |> Enum.map(&Event.to_write!/1)
    reference = make_ref()
    Native.event_store_append(native, reference, stream_name!(stream), options.expect, events)
    await(reference)
  end

  @doc """
  Reads events of a stream.

  ## Options

  #{Options.docs(Settings.read())}

  A stream that does not exist is `{:error, %Penstock.Error{reason: :stream_not_found}}`.
  """
  @spec read(connection, String.t(), keyword) :: {:ok, [Event.t()]} | {:error, Error.t()}
  def read(connection, stream, options \\ []) do
    options = Options.validate!(options, Settings.read(), "Penstock.EventStore.read")
    native = handle(connection)
    reference = make_ref()
    Native.event_store_read(native, reference, stream_name!(stream), Settings.native_read(options))
    await(reference)
  end

  @doc false
  # What the Rust core knows the connection by; it stays usable when the process is gone.
  @spec handle(connection | String.t()) :: reference
  def handle(connection), do: GenServer.call(connection, :handle)

  defp stream_name!(stream) when is_binary(stream) and stream != "", do: stream

  defp stream_name!(stream) do
    raise ArgumentError,
          "Penstock.EventStore: the stream's name takes a string that is not empty, got: #{inspect(stream)}"
  end

  # The core always answers: the deadline of the call is its own.
  defp await(reference) do
    receive do
      {^reference, {:ok, answer}} -> {:ok, answer}
      {^reference, {:error, error}} -> {:error, Error.from_native(error)}
    end
  end

  @impl GenServer
  def init(connection_string) do
    case Native.event_store_open(connection_string) do
      {:ok, native} -> {:ok, native}
      {:error, error} -> {:stop, Error.from_native(error)}
    end
  end

  @impl GenServer
  def handle_call(:handle, _from, native), do: {:reply, native, native}
end
