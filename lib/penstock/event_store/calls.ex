defmodule Penstock.EventStore.Calls do
  @moduledoc false
  # Short calls, made where the connection is, and their answers, which become terms here: in calls that no scheduler
  # notices. The core always answers, also when something in it panics; how long a call may take is its own matter.

  alias Penstock.{Error, Event, EventStore, Filter, Native, Position}
  alias Penstock.EventStore.{Connection, Settings}

  @type page :: %{
          events: [Event.t()],
          last_revision: non_neg_integer | nil,
          full?: boolean
        }

  @doc "Makes a call here, or has `EventStore`'s function make it on the node of the connection."
  @spec make(
          EventStore.connection(),
          %{:credentials => nil | tuple, optional(atom) => term},
          {function :: atom, arguments :: [term]},
          (native :: reference -> answer)
        ) ::
          answer
        when answer: {:ok, term} | {:error, Error.t()}
  def make(connection, options, {function, arguments}, call) do
    case Connection.find(connection) do
      {:here, native} -> with {:ok, native} <- Connection.as(native, options.credentials), do: call.(native)
      {:elsewhere, node, process} -> Connection.call(node, EventStore, function, [process | arguments])
      {:error, error} -> {:error, error}
    end
  end

  @doc "What is written of events; an `ArgumentError` names what is wrong with one."
  @spec to_write!(term) :: [tuple]
  def to_write!(%Event{} = event), do: [Event.to_write!(event)]

  def to_write!(events) do
    if is_list(events) and not List.improper?(events),
      do: Enum.map(events, &Event.to_write!/1),
      else: Event.to_write!(events)
  end

  @spec append(reference, String.t(), [tuple], map) :: {:ok, EventStore.appended()} | {:error, Error.t()}
  def append(native, stream, written, options) do
    reference = make_ref()
    settings = Settings.native_write(options)

    with :large <- Native.event_store_append(native, reference, stream, settings, written),
         do: Native.event_store_append_dirty(native, reference, stream, settings, written)

    case await(reference) do
      {:appended, appended} -> {:ok, Map.update!(appended, :position, &Position.from_native/1)}
      {:error, error} -> {:error, explained(error)}
    end
  end

  # The server's answer to an append of which it knows a part, the first event included.
  defp explained(%Error{reason: :wrong_expected_version, details: %{expected: any, actual: actual}} = error)
       when any in [:any, :stream_exists] and is_integer(actual) do
    message =
      "the stream #{inspect(error.details.stream)} has some of these events already, by their ids, and not all of them, so " <>
        "nothing was written; it is at revision #{actual}"

    %{error | message: message}
  end

  defp explained(error), do: error

  @spec delete(reference, String.t(), :soft | :tombstone, map) ::
          {:ok, EventStore.deleted()} | {:error, Error.t()}
  def delete(native, stream, deletion, options) do
    reference = make_ref()
    Native.event_store_delete(native, reference, stream, deletion, Settings.native_write(options))

    with {:deleted, position} <- await(reference), do: {:ok, %{position: Position.from_native(position)}}
  end

  @spec read(reference, String.t() | :all, map) :: {:ok, page} | {:error, Error.t()}
  # Servers answer this with an error. There is nothing after the end, of a stream that is there.
  def read(_native, :all, %{from: :end, direction: :forwards}),
    do: {:ok, %{events: [], last_revision: nil, full?: false}}

  def read(native, stream, %{from: :end, direction: :forwards} = options) do
    last = %{options | direction: :backwards, max_count: 1, json: :raw}
    with {:ok, page} <- read(native, stream, last), do: {:ok, %{page | events: []}}
  end

  def read(native, target, options) do
    reference = make_ref()
    reading = Settings.native_read(options)
    Native.event_store_read(native, reference, native_target(target, options), reading)

    with {:events, events, last, full?} <- await(reference),
         do: {:ok, %{events: :lists.reverse(events), last_revision: last, full?: full?}}
  end

  defp native_target(:all, options), do: {:all, place(options.from), Filter.to_native(options.filter)}
  defp native_target(stream, options), do: {:stream, stream, options.from}

  defp place(%Position{} = position), do: Position.to_native(position)
  defp place(named), do: named

  @spec current_revision(reference, String.t(), timeout | nil) ::
          {:ok, non_neg_integer} | {:error, Error.t()}
  def current_revision(native, stream, timeout) do
    last = [from: :end, direction: :backwards, max_count: 1, json: :raw, timeout: timeout]
    options = Penstock.Options.validate!(last, Settings.read(), "Penstock.EventStore.current_revision")

    case read(native, stream, options) do
      {:ok, %{last_revision: last}} when is_integer(last) ->
        {:ok, last}

      {:ok, %{events: [event]}} ->
        {:ok, Event.revision(event)}

      {:ok, %{events: []}} ->
        message =
          "the server does not say at which revision the stream #{inspect(stream)} is, and its last events are gone"

        {:error, %Error{reason: :protocol, message: message}}

      {:error, error} ->
        {:error, error}
    end
  end

  defp await(reference) do
    receive do
      {^reference, answer} -> take(Native.event_store_answer(answer, []), answer)
    end
  end

  defp take({:more, events}, answer), do: take(Native.event_store_answer(answer, events), answer)
  defp take({:large, events}, answer), do: take(Native.event_store_answer_dirty(answer, events), answer)
  defp take({:error, error}, _answer), do: {:error, Error.from_native(error)}
  defp take(all, _answer), do: all
end
