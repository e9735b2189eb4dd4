defmodule Penstock.Soak.Notebook do
  @moduledoc false
  # What one reader has handled, event by event, in order. It outlives the reader, and is where it goes on.

  import Penstock.Soak.Fault

  alias Penstock.{Event, EventStore}

  @page 1000

  def new, do: :ets.new(__MODULE__, [:public, :ordered_set])

  @doc "An event was handled by this hand of the reader: one write, so that a kill is before it or after it."
  def note(notebook, hand, %Event{} = event) do
    :ets.insert(notebook, {:erlang.unique_integer([:monotonic]), hand, mark(event)})
    :ok
  end

  @doc "Events that came in one message: never none."
  def came(events),
    do: law(is_list(events) and events != [], "a consumer was sent #{brief(events)} as events")

  def position(notebook) do
    case :ets.last(notebook) do
      :"$end_of_table" ->
        :start

      last ->
        [{_, _hand, {revision, _id, _content}}] = :ets.lookup(notebook, last)
        revision
    end
  end

  def count(notebook), do: :ets.info(notebook, :size)

  @doc "What is in the stream, read straight from its server."
  def truth(store, stream, from \\ 0) do
    {:ok, events} = EventStore.read(store, stream, from: from, max_count: @page)
    marks = Enum.map(events, &mark/1)
    if length(events) < @page, do: marks, else: marks ++ truth(store, stream, from + @page)
  end

  @doc "What an event is known by: its place, its id, and all that its writer gave it."
  def mark(event) do
    {Event.revision(event), event.id,
     :erlang.phash2({event.type, event.body, event.metadata.custom_metadata})}
  end

  @doc "The laws of reading: all events, each once; each hand of the reader had its own in order."
  def check(notebook, truth, who) do
    handled = for {_, hand, mark} <- :ets.tab2list(notebook), do: {hand, mark}

    for {hand, marks} <- Enum.group_by(handled, &elem(&1, 0), &elem(&1, 1)) do
      for {{before, _, _}, {revision, _, _}} <- Enum.zip(marks, Enum.drop(marks, 1)) do
        law(before < revision, "#{who}: hand #{hand} got revision #{revision} after #{before}")
      end
    end

    compare(handled |> Enum.map(&elem(&1, 1)) |> Enum.sort(), truth, who)
  end

  defp compare(same, same, _who), do: :ok

  defp compare([mark | handled], [mark | truth], who), do: compare(handled, truth, who)

  defp compare(handled, truth, who) do
    law(
      false,
      "#{who}: handled #{brief(Enum.take(handled, 3))} (#{length(handled)} left) " <>
        "where #{brief(Enum.take(truth, 3))} (#{length(truth)} left) were to come"
    )
  end
end
