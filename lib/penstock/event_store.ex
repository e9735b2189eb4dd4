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

  ## How to connect

  By a connection string, `scheme://user:password@host:port,host:port?key=value&key=value`, with the scheme `esdb`,
  `kurrentdb`, `kurrent` or `kdb`, or by options:

      Penstock.EventStore.start_link(connection_string: "esdb://admin:changeit@db.example.com:2113?tlsCaFile=/etc/db/ca.pem")

      Penstock.EventStore.start_link(
        hosts: ["db.example.com:2113"],
        tls_ca_file: "/etc/db/ca.pem",
        credentials: {"admin", System.fetch_env!("DB_PASSWORD")}
      )

  Keys are those of the official clients, in any case, each at most once; special characters are percent-encoded in a
  string and not in an option. What is out of its range or not known is refused by name. What is `:infinity` in an option
  is -1 in a string. Volley connects by Spear, so what Spear calls an option holds for it as well.

  #{Penstock.EventStore.Keys.docs()}

  `throwOnAppendFailure` is taken in a string and has no effect: a refused append always is an error.

  Passwords and tokens are shown neither by the process nor by its supervisor, nor in logs and reports of crashes. Tokens
  go as `authorization: Bearer`. Whoever holds neither may still be let in by `:user_cert_file`.

  ## Encryption

  Connections are encrypted unless `tls=false` says otherwise. The files that are named are read at the start, and one
  that cannot be used is an error then. A server whose certificate is not accepted (of another name, from an authority that
  is not trusted, out of date), or that does not accept the client's, is `:certificate`: that is final, for calls and for
  subscriptions, as it is another server or another time that is needed. A server that cannot be reached is tried again,
  and so is, by a subscription, one that does not speak TLS, or speaks it where nothing is to be encrypted: `:protocol`,
  with what it said, and what to write in the connection string.

  ## Options

  #{Penstock.EventStore.Settings.start_docs()}

  And the keys in the table above.

  ## Other nodes

  The connection may be another node's (`{name, node}`, `{:global, name}` or a pid), if Penstock runs there. Then calls are
  done over there, with that connection. A subscription opens a connection from its own node: it asks for the
  connection string, which comes by Erlang's distribution with all that is in it, also passwords and tokens, and has to
  lead to the server from here as well; files that it names are read on this node.

  ## Errors

  Calls return `{:error, %Penstock.Error{}}`; see there for the reasons and whether the same call can help later. An
  argument that no server would take raises an `ArgumentError`, and so does a process that is no `Penstock.EventStore`.
  """

  use GenServer

  alias Penstock.{Error, Event, Options, Position, StreamMetadata}
  alias Penstock.EventStore.{Calls, Connection, Keys, Pages, Settings}

  @type connection :: GenServer.server()
  @type expectation :: :any | :no_stream | :stream_exists | non_neg_integer
  @type appended :: %{revision: non_neg_integer | nil, position: Position.t() | nil}
  @type deleted :: %{position: Position.t() | nil}

  @doc """
  Starts a connection; a connection string that cannot be used is `{:error, %Penstock.Error{}}`.

  The options may also be in a function without arguments, so that whoever shows the call shows no password.
  `child_spec/1` does so.
  """
  @spec start_link(keyword | (() -> keyword)) :: GenServer.on_start()
  def start_link(options) do
    settings = options |> Settings.reveal() |> Options.validate!(Settings.start(), "Penstock.EventStore")
    named = if settings.name, do: [name: settings.name], else: []
    GenServer.start_link(__MODULE__, settings |> Keys.how!("Penstock.EventStore") |> Settings.hide(), named)
  end

  @doc "A specification to start it under a supervisor; its id is its name, if it has one."
  @spec child_spec(keyword) :: Supervisor.child_spec()
  def child_spec(options),
    do: %{
      id: Settings.id(options, __MODULE__),
      start: {__MODULE__, :start_link, [Settings.hide(options)]},
      type: :worker
    }

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

  #{Options.docs(Settings.write())}

  ## Errors

  `:wrong_expected_version` (with `details.expected` and `details.actual`), `:stream_deleted`,
  `:maximum_append_size_exceeded`, and those of the connection. Where the answer was lost, the events may have been
  written or not: then the message says so and `details.may_have_been_written` is true. Append the same events, with the
  same ids and the same `:expect`, again to find out.
  """
  @spec append(connection, String.t(), Event.t() | [Event.t()], keyword) ::
          {:ok, appended} | {:error, Error.t()}
  def append(connection, stream, events, options \\ []) do
    options = Options.validate!(options, Settings.write(), "Penstock.EventStore.append")
    stream = stream_name!(stream)
    written = Calls.to_write!(events)

    Calls.make(connection, options, {:append, [stream, events, Map.to_list(options)]}, fn native ->
      Calls.append(native, stream, written, options)
    end)
  end

  @doc """
  Reads events of a stream, or of the log of all streams (`:all`).

      Penstock.EventStore.read(store, "orders-1", direction: :backwards, from: :end, max_count: 1)
      Penstock.EventStore.read(store, :all, filter: Penstock.Filter.by_type(prefix: "order-"))

  ## Options

  #{Options.docs(Settings.read())}

  In the log, `:from` is a `Penstock.Position` instead of a revision: forwards the first event is the one at it, backwards the
  one before it, and a position at which no event is, is refused by the server. The log has system events as well; what of it
  is wanted says `:filter`.

  A stream that does not exist is `{:error, %Penstock.Error{reason: :stream_not_found}}`. Forwards from `:end` there is
  nothing to read; `Penstock.LinearSubscription` waits for what comes. All events of an answer are in memory at once: for
  more than some thousands see `stream/3`.
  """
  @spec read(connection, String.t() | :all, keyword) :: {:ok, [Event.t()]} | {:error, Error.t()}
  def read(connection, stream, options \\ []) do
    owner = "Penstock.EventStore.read"
    options = options |> Options.validate!(Settings.read(), owner) |> Settings.of_target!(stream, owner)
    target = target!(stream)

    Calls.make(connection, options, {:read, [target, Map.to_list(options)]}, fn native ->
      with {:ok, page} <- Calls.read(native, target, options), do: {:ok, page.events}
    end)
  end

  @doc """
  A lazy enumerable of the events of a stream, or of the log of all streams (`:all`).

      store
      |> Penstock.EventStore.stream("orders-1")
      |> Enum.reduce(0, fn event, sum -> sum + event.body["total"] end)

  It is read page by page, as the events are wanted: no more than a page is in memory, nothing is read ahead, and between
  two pages nothing is open, so whoever stops early leaves nothing behind. It ends with the last event that there was when it
  came there.

  ## Options

  #{Options.docs(Settings.stream())}

  What `:from` is in the log: see `read/3`.

  ## Errors

  Enumerating raises a `Penstock.Error` where `read/3` answers one: there is no other way to tell an error from an end. Events
  that were given before it are whole and in order.
  """
  @spec stream(connection, String.t() | :all, keyword) :: Enumerable.t()
  def stream(connection, stream, options \\ []) do
    owner = "Penstock.EventStore.stream"
    options = options |> Options.validate!(Settings.stream(), owner) |> Settings.of_target!(stream, owner)
    Pages.stream(connection, target!(stream), options)
  end

  @doc """
  The revision of a stream's last event, also when that event itself can no longer be read (`$maxAge` and other limits).

  ## Options

  #{Options.docs(Settings.timeout())}

  A stream that does not exist is `{:error, %Penstock.Error{reason: :stream_not_found}}`.
  """
  @spec current_revision(connection, String.t(), keyword) :: {:ok, non_neg_integer} | {:error, Error.t()}
  def current_revision(connection, stream, options \\ []) do
    options = Options.validate!(options, Settings.timeout(), "Penstock.EventStore.current_revision")
    stream = stream_name!(stream)

    Calls.make(connection, options, {:current_revision, [stream, Map.to_list(options)]}, fn native ->
      Calls.current_revision(native, stream, options.timeout)
    end)
  end

  @doc """
  Deletes a stream until it is appended to again: then it goes on with the revision after its last one, and the events before
  cannot be read any more.

  What `expect:` means: see `append/4`. A stream that does not exist cannot be deleted, whatever is expected.

  ## Options

  #{Options.docs(Settings.write())}

  ## Errors

  `:wrong_expected_version`, `:stream_deleted` (of one that is tombstoned) and those of the connection. Where the answer was lost,
  `details.may_have_been_written` is true: deleting again is no harm.
  """
  @spec delete(connection, String.t(), keyword) :: {:ok, deleted} | {:error, Error.t()}
  def delete(connection, stream, options \\ []), do: delete(connection, stream, :soft, :delete, options)

  @doc """
  Deletes a stream for ever: nothing can be read from it or appended to it any more, under this name. A stream that does not
  exist can be tombstoned too.

  Options and errors are those of `delete/3`.
  """
  @spec tombstone(connection, String.t(), keyword) :: {:ok, deleted} | {:error, Error.t()}
  def tombstone(connection, stream, options \\ []),
    do: delete(connection, stream, :tombstone, :tombstone, options)

  defp delete(connection, stream, deletion, function, options) do
    options = Options.validate!(options, Settings.write(), "Penstock.EventStore.#{function}")
    stream = stream_name!(stream)

    Calls.make(connection, options, {function, [stream, Map.to_list(options)]}, fn native ->
      Calls.delete(native, stream, deletion, options)
    end)
  end

  @doc """
  What is set for a stream: limits, rights, and whatever else; see `Penstock.StreamMetadata`.

  Of a stream for which nothing is set, all is nil, its `revision` too.

  ## Options

  #{Options.docs(Settings.timeout())}
  """
  @spec get_metadata(connection, String.t(), keyword) :: {:ok, StreamMetadata.t()} | {:error, Error.t()}
  def get_metadata(connection, stream, options \\ []) do
    options = Options.validate!(options, Settings.timeout(), "Penstock.EventStore.get_metadata")
    last = [from: :end, direction: :backwards, max_count: 1, json: :raw] ++ Map.to_list(options)

    case read(connection, "$$" <> stream_name!(stream), last) do
      {:ok, events} -> StreamMetadata.of(List.first(events))
      {:error, %Error{reason: :stream_not_found}} -> StreamMetadata.of(nil)
      {:error, error} -> {:error, error}
    end
  end

  @doc """
  Sets limits, rights, and whatever else for a stream, in place of all that was set; see `Penstock.StreamMetadata`.

      Penstock.EventStore.set_metadata(store, "orders-1", %Penstock.StreamMetadata{max_count: 1000})

  With `expect:` as the `revision` of what `get_metadata/3` answered nothing is overwritten that somebody else has set meanwhile;
  it is that of the metadata, not that of the stream. (For nil, expect `:no_stream`.)

  Options and errors are those of `append/4`.
  """
  @spec set_metadata(connection, String.t(), StreamMetadata.t(), keyword) ::
          {:ok, appended} | {:error, Error.t()}
  def set_metadata(connection, stream, %StreamMetadata{} = metadata, options \\ []),
    do: append(connection, "$$" <> stream_name!(stream), StreamMetadata.to_event!(metadata), options)

  @doc false
  # For `stream/3` on another node.
  @spec page(connection, String.t() | :all, map) :: {:ok, Calls.page()} | {:error, Error.t()}
  def page(connection, target, options),
    do: Calls.make(connection, options, {:page, [target, options]}, &Calls.read(&1, target, options))

  defp target!(:all), do: :all
  defp target!(stream), do: stream_name!(stream)

  defp stream_name!(stream), do: Settings.stream_name!(stream, "Penstock.EventStore: the stream's name")

  @impl GenServer
  def init(how) do
    case Connection.open_here(how.()) do
      {:ok, native} ->
        Connection.keep(native, how)
        {:ok, native}

      {:error, error} ->
        {:stop, error}
    end
  end

  @impl GenServer
  def handle_call(:handle, _from, native), do: {:reply, native, native}
end
