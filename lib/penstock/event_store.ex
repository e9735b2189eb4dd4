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

  ## Connection string

  `scheme://user:password@host:port?key=value&key=value`, with the scheme `esdb`, `kurrentdb`, `kurrent` or `kdb`. Numbers
  out of their range are refused by name.

  | key | takes | default |
  |---|---|---|
  | `tls` | `true` or `false`; only `false` is supported so far | `true` |
  | `defaultDeadline` | how long a call may take: 1 to 2147483647 ms, -1 for ever | 10000 |
  | `keepAliveInterval` | how often the server is asked for a sign of life: 100 to 2147483647 ms, -1 for never | 10000 |
  | `keepAliveTimeout` | how long that sign may take: 100 to 2147483647 ms, -1 for ever | 10000 |
  | `connectionName` | what the server calls this connection | none |

  The keys for clusters and certificates (`maxDiscoverAttempts` 1 to 4294967295, `discoveryInterval` 1 to 2147483647 ms,
  `gossipTimeout` 1 to 86400 s, `nodePreference`, `tlsVerifyCert`, `tlsCaFile`, `userCertFile`, `userKeyFile`) are checked
  and have no effect yet.

  ## Options

  #{Penstock.Options.docs(Penstock.EventStore.Settings.start())}

  ## Other nodes

  The connection may be another node's (`{name, node}`, `{:global, name}` or a pid), if Penstock runs there. Then `append/4` and
  `read/3` are done over there, with that connection. A subscription opens a connection from its own node: it asks for the
  connection string, which comes by Erlang's distribution with all that is in it, also a password, and has to lead to the
  server from here as well.

  ## Errors

  Calls return `{:error, %Penstock.Error{}}`; see there for the reasons and whether the same call can help later. An
  argument that no server would take raises an `ArgumentError`, and so does a process that is no `Penstock.EventStore`.
  """

  use GenServer

  alias Penstock.{Error, Event, Native, Options}
  alias Penstock.EventStore.{Connection, Settings}

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

  @doc "A specification to start it under a supervisor; its id is its name, if it has one."
  @spec child_spec(keyword) :: Supervisor.child_spec()
  def child_spec(options),
    do: %{id: Settings.id(options, __MODULE__), start: {__MODULE__, :start_link, [options]}, type: :worker}

  @doc """
  Appends events to a stream, all or none of them.

  Takes a `Penstock.Event`, see `Penstock.Event.new/3`, or a list of them.

  ## Appending again

  The events' ids make an append repeatable: the same call again, with the same events and the same `:expect`, writes
  nothing and answers as the first time. What counts are the ids in this stream, not what the events hold:

    * expecting `:any` or `:stream_exists`, the ids may be anywhere in the stream;
    * expecting `:no_stream`, they have to be the stream's first;
    * expecting a revision, they have to come right after it. Do not look up the revision anew for this: expecting the
      revision that the stream has *now* says that these events come on top, and they are written a second time.

  Of events whose ids are partly known, the first one decides. When it is known and another is not, nothing is written, and
  the error is `:wrong_expected_version`, also under `:any`. When it is not known all are written, the known ones again. So
  append again what was appended together, no more and no less.

  ## Options

  #{Options.docs(Settings.append())}

  ## Errors

  `:wrong_expected_version` (with `details.expected` and `details.actual`), `:stream_deleted`,
  `:maximum_append_size_exceeded`, and those of the connection. Where the answer was lost, the events may have been
  written or not: then the message says so and `details.may_have_been_written` is true. Append the same events, with the
  same ids and the same `:expect`, again to find out.
  """
  @spec append(connection, String.t(), Event.t() | [Event.t()], keyword) ::
          {:ok, appended} | {:error, Error.t()}
  def append(connection, stream, events, options \\ []) do
    options = Options.validate!(options, Settings.append(), "Penstock.EventStore.append")
    stream = stream_name!(stream)
    written = to_write!(events)

    case Connection.find(connection) do
      {:here, native} ->
        reference = make_ref()
        settings = Settings.native_append(options)

        with :large <- Native.event_store_append(native, reference, stream, settings, written),
             do: Native.event_store_append_dirty(native, reference, stream, settings, written)

        reference |> await() |> explain()

      {:elsewhere, node, process} ->
        Connection.call(node, __MODULE__, :append, [process, stream, events, Map.to_list(options)])

      {:error, error} ->
        {:error, error}
    end
  end

  defp to_write!(%Event{} = event), do: [Event.to_write!(event)]

  defp to_write!(events) do
    if is_list(events) and not List.improper?(events),
      do: Enum.map(events, &Event.to_write!/1),
      else: Event.to_write!(events)
  end

  # The server's answer to an append of which it knows a part, the first event included.
  defp explain(
         {:error, %Error{reason: :wrong_expected_version, details: %{expected: any, actual: actual}} = error}
       )
       when any in [:any, :stream_exists] and is_integer(actual) do
    message =
      "the stream #{inspect(error.details.stream)} has some of these events already, by their ids, and not all of them, so " <>
        "nothing was written; it is at revision #{actual}"

    {:error, %{error | message: message}}
  end

  defp explain(answer), do: answer

  @doc """
  Reads events of a stream.

  ## Options

  #{Options.docs(Settings.read())}

  A stream that does not exist is `{:error, %Penstock.Error{reason: :stream_not_found}}`. Forwards from `:end` there is
  nothing to read; `Penstock.LinearSubscription` waits for what comes.
  """
  @spec read(connection, String.t(), keyword) :: {:ok, [Event.t()]} | {:error, Error.t()}
  def read(connection, stream, options \\ []) do
    options = Options.validate!(options, Settings.read(), "Penstock.EventStore.read")
    stream = stream_name!(stream)

    case Connection.find(connection) do
      {:here, native} ->
        read_here(native, stream, options)

      {:elsewhere, node, process} ->
        Connection.call(node, __MODULE__, :read, [process, stream, Map.to_list(options)])

      {:error, error} ->
        {:error, error}
    end
  end

  # Servers answer this with an error. There is nothing after the end, of a stream that is there.
  defp read_here(native, stream, %{from: :end, direction: :forwards} = options) do
    last = %{options | direction: :backwards, max_count: 1, json: :raw}
    with {:ok, _last} <- read_here(native, stream, last), do: {:ok, []}
  end

  defp read_here(native, stream, options) do
    reference = make_ref()
    Native.event_store_read(native, reference, stream, Settings.native_read(options))
    await(reference)
  end

  defp stream_name!(stream), do: Settings.stream_name!(stream, "Penstock.EventStore: the stream's name")

  # The core always answers, also when something in it panics; how long a call may take is its own matter. The answer is
  # made of terms here, in calls that no scheduler notices.
  defp await(reference) do
    receive do
      {^reference, answer} -> take(Native.event_store_answer(answer, []), answer)
    end
  end

  defp take({:more, events}, answer), do: take(Native.event_store_answer(answer, events), answer)
  defp take({:large, events}, answer), do: take(Native.event_store_answer_dirty(answer, events), answer)
  defp take({:events, events}, _answer), do: {:ok, :lists.reverse(events)}
  defp take({:appended, appended}, _answer), do: {:ok, appended}
  defp take({:error, error}, _answer), do: {:error, Error.from_native(error)}

  @impl GenServer
  def init(connection_string) do
    case Connection.open_here(connection_string) do
      {:ok, native} ->
        Connection.keep(native, connection_string)
        {:ok, native}

      {:error, error} ->
        {:stop, error}
    end
  end

  @impl GenServer
  def handle_call(:handle, _from, native), do: {:reply, native, native}
end
