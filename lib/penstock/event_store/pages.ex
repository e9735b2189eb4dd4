defmodule Penstock.EventStore.Pages do
  @moduledoc false
  # A stream, or the log, page by page. Where a page ended says where the next one begins; nothing else is kept, and
  # nothing is open in between.

  alias Penstock.{Event, EventStore}

  @spec stream(EventStore.connection(), String.t() | :all, map) :: Enumerable.t()
  def stream(connection, target, options) do
    {page_size, options} = Map.pop!(options, :page_size)
    left = options.max_count

    start = %{
      connection: connection,
      target: target,
      options: options,
      size: page_size,
      left: left,
      last: nil
    }

    Stream.resource(fn -> start end, &next/1, fn _state -> :ok end)
  end

  defp next(:ended), do: {:halt, :ended}
  defp next(%{left: 0}), do: {:halt, :ended}

  defp next(state) do
    asked = min(state.left, state.size)
    # forwards, the log is read from the last event once more
    again = if state.last && state.target == :all && state.options.direction == :forwards, do: 1, else: 0
    options = %{state.options | max_count: asked + again}

    case EventStore.page(state.connection, state.target, options) do
      {:ok, %{events: read} = page} ->
        events = if again == 1, do: unseen(read, state.last), else: read
        over? = not page.full? and length(read) < asked + again
        {Enum.take(events, asked), go_on(state, Enum.take(events, asked), over?)}

      {:error, error} ->
        raise error
    end
  end

  defp unseen([first | rest] = events, last),
    do: if(Event.position(first) == last, do: rest, else: events)

  defp unseen([], _last), do: []

  defp go_on(_state, _events, true), do: :ended
  # the page had room for nothing but what was seen already
  defp go_on(state, [], false),
    do: %{state | options: Map.update!(state.options, :page_bytes, &(2 * &1))}

  defp go_on(state, events, false) do
    last = List.last(events)
    left = if is_integer(state.left), do: state.left - length(events), else: state.left

    case {state.target, state.options.direction, Event.revision(last)} do
      {:all, _direction, _revision} ->
        position = Event.position(last)
        %{state | options: %{state.options | from: position}, last: position, left: left}

      {_stream, :forwards, revision} ->
        %{state | options: %{state.options | from: revision + 1}, left: left}

      {_stream, :backwards, 0} ->
        :ended

      {_stream, :backwards, revision} ->
        %{state | options: %{state.options | from: revision - 1}, left: left}
    end
  end
end
